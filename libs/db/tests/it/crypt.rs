//! Sealed values and the keys of people.

use db::{
    Db, DbResult,
    crypt::{Keyring, PersonKey, Sealer},
    sea_orm::ConnectionTrait,
};
use futures::future::join_all;
use jangteo_core::Code;

use crate::store::*;

fn sealer(current: &str, keys: &[(&str, u8)]) -> Sealer {
    let keys = keys.iter().map(|(id, fill)| ((*id).to_owned(), [*fill; 32]));
    Sealer::new(Keyring::from_keys(current, keys, [9; 32]).unwrap())
}

async fn seal(db: &Db, sealer: &Sealer, person: &str, plain: &str) -> Vec<u8> {
    let sealed = std::sync::Mutex::default();
    db.write(&cx(), async |tx| {
        *sealed.lock().unwrap() = sealer.person(&tx, person).await?.seal("account", "email", plain.as_bytes())?;
        Ok(())
    })
    .await
    .unwrap();
    sealed.into_inner().unwrap()
}

async fn key(db: &Db, sealer: &Sealer, person: &str) -> Option<PersonKey> {
    sealer.find(db.primary(), person).await.unwrap()
}

pub async fn sealed_values_open_only_in_their_place(store: Store) {
    let db = store.open().await;
    let sealer = sealer("m1", &[("m1", 1)]);
    let sealed = seal(&db, &sealer, "usr_1", "kim@example.org").await;
    assert_ne!(
        sealed,
        seal(&db, &sealer, "usr_1", "kim@example.org").await,
        "the same value twice must not look alike"
    );
    assert!(!sealed.windows(3).any(|w| w == b"kim"));
    let kim = key(&db, &sealer, "usr_1").await.unwrap();
    assert_eq!(kim.open_text("account", "email", &sealed).unwrap(), "kim@example.org");
    assert!(kim.open("account", "phone", &sealed).is_err());
    assert!(kim.open("profile", "email", &sealed).is_err());
    assert!(kim.open("accounte", "mail", &sealed).is_err(), "parts run together");
    for n in 0..sealed.len() {
        let mut tampered = sealed.clone();
        tampered[n] ^= 1;
        assert!(kim.open("account", "email", &tampered).is_err(), "byte {n}");
    }
    assert!(kim.open("account", "email", &sealed[..9]).is_err());
    seal(&db, &sealer, "usr_2", "lee").await;
    assert!(key(&db, &sealer, "usr_2").await.unwrap().open("account", "email", &sealed).is_err());
    // Even with the same data key under both names: the person is part of the place.
    let swap = "UPDATE person_key SET wrapped = (SELECT wrapped FROM person_key WHERE person = 'usr_1') WHERE person = 'usr_2'";
    db.write(&cx(), async |tx| tx.execute_unprepared(swap).await.db().map(|_| ())).await.unwrap();
    assert!(sealer.find(db.primary(), "usr_2").await.is_err(), "a wrapped key opened under another name");
    assert!(key(&db, &sealer, "usr_3").await.is_none());

    let hash = |column, value| sealer.keyring().lookup_hash("account", column, value);
    assert_eq!(hash("email", "kim"), hash("email", "kim"));
    assert_ne!(hash("email", "kim"), hash("email", "kin"));
    assert_ne!(hash("email", "kim"), hash("phone", "kim"));
    assert_ne!(
        hash("email", "kim"),
        Keyring::from_keys("m", [("m".to_owned(), [1; 32])], [8; 32]).unwrap().lookup_hash("account", "email", "kim")
    );
}

pub async fn master_keys_rotate(store: Store) {
    let db = store.open().await;
    let old = sealer("m1", &[("m1", 1)]);
    let mut sealed = Vec::new();
    for n in 0..5 {
        sealed.push(seal(&db, &old, &format!("usr_{n}"), &format!("mail {n}")).await);
    }
    let both = sealer("m2", &[("m1", 1), ("m2", 2)]);
    assert!(key(&db, &both, "usr_0").await.unwrap().open("account", "email", &sealed[0]).is_ok());
    let new = sealer("m2", &[("m2", 2)]);
    assert!(new.find(db.primary(), "usr_0").await.is_err(), "the old master key is still needed");
    let rewrapped = std::sync::Mutex::new(Vec::new());
    loop {
        let n = std::sync::atomic::AtomicU64::new(0);
        db.write(&cx(), async |tx| {
            n.store(both.rewrap(&tx, 2).await?, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        })
        .await
        .unwrap();
        rewrapped.lock().unwrap().push(n.into_inner());
        if *rewrapped.lock().unwrap().last().unwrap() == 0 {
            break;
        }
    }
    assert_eq!(rewrapped.into_inner().unwrap(), [2, 2, 1, 0]);
    let people: Vec<String> = (0..5).map(|n| format!("usr_{n}")).collect();
    let keys = new.find_many(db.primary(), &people).await.unwrap();
    for (n, person) in people.iter().enumerate() {
        assert_eq!(keys[person].open_text("account", "email", &sealed[n]).unwrap(), format!("mail {n}"));
    }
    assert!(Keyring::from_keys("m3", [("m1".to_owned(), [1; 32])], [9; 32]).is_err());
}

pub async fn erased_person_stays_unreadable(store: Store) {
    let db = store.open().await;
    let sealer = sealer("m1", &[("m1", 1)]);
    seal(&db, &sealer, "usr_1", "kim").await;
    seal(&db, &sealer, "usr_2", "lee").await;
    let erase = async || {
        let done = std::sync::atomic::AtomicBool::new(false);
        db.write(&cx(), async |tx| {
            done.store(sealer.erase(&tx, "usr_1").await?, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        })
        .await
        .unwrap();
        done.into_inner()
    };
    assert!(erase().await);
    assert!(!erase().await);
    assert!(key(&db, &sealer, "usr_1").await.is_none());
    assert!(key(&db, &sealer, "usr_2").await.is_some());
    assert_eq!(count(db.primary(), "person_key WHERE person = 'usr_1' AND wrapped IS NOT NULL").await, 0);
    // Who had no key yet gets none either.
    db.write(&cx(), async |tx| sealer.erase(&tx, "usr_3").await.map(|done| assert!(done))).await.unwrap();
    for person in ["usr_1", "usr_3"] {
        let again = db.write(&cx(), async |tx| sealer.person(&tx, person).await.map(|_| ())).await.unwrap_err();
        assert_eq!((again.code(), again.reason()), (Code::FailedPrecondition, "PERSON_ERASED"));
    }
    assert_eq!(sealer.find_many(db.primary(), &["usr_1", "usr_2", "usr_3"].map(str::to_owned)).await.unwrap().len(), 1);
}

pub async fn first_use_in_parallel_makes_one_key(store: Store) {
    let db = store.open().await;
    let sealer = sealer("m1", &[("m1", 1)]);
    let sealed = join_all((0..12).map(|n| {
        let (db, sealer) = (db.clone(), sealer.clone());
        tokio::spawn(async move { (n, seal(&db, &sealer, "usr_1", &format!("mail {n}")).await) })
    }))
    .await;
    let kim = key(&db, &sealer, "usr_1").await.unwrap();
    for sealed in sealed {
        let (n, sealed) = sealed.unwrap();
        assert_eq!(kim.open_text("account", "email", &sealed).unwrap(), format!("mail {n}"));
    }
}
