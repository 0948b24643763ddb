//! Addresses.

use crate::support::*;
use jangteo_core::Code;
use proto::jangteo::user::v1::{self as wire, user_service::Api};

fn home() -> wire::CreateAddressRequest {
    wire::CreateAddressRequest {
        label: "집".into(),
        recipient: "김민수".into(),
        phone_number: "+821012345678".into(),
        postal_code: "04001".into(),
        line1: "서울 마포구 망원로 1".into(),
        ..Default::default()
    }
}

async fn all(w: &World, user: &str) -> Vec<wire::Address> {
    w.users.list_addresses(by(user), Default::default()).await.unwrap().addresses
}

pub async fn an_address_is_kept_as_it_was_given(kind: Kind) {
    let w = world(kind).await;
    let made = w.users.create_address(by(MINSU), home()).await.unwrap();
    assert_eq!((made.line1.as_str(), made.is_default, made.etag.as_str()), ("서울 마포구 망원로 1", true, "1"));
    let req = wire::GetAddressRequest { address_id: made.address_id.clone() };
    assert_eq!(w.users.get_address(by(MINSU), req).await.unwrap(), made);
    assert_eq!(all(&w, MINSU).await, [made]);
}

pub async fn one_is_the_default(kind: Kind) {
    let w = world(kind).await;
    let first = w.users.create_address(by(MINSU), home()).await.unwrap();
    let second =
        w.users.create_address(by(MINSU), wire::CreateAddressRequest { is_default: true, ..home() }).await.unwrap();
    let third = w.users.create_address(by(MINSU), home()).await.unwrap();
    let order = |all: Vec<wire::Address>| all.into_iter().map(|a| (a.address_id, a.is_default)).collect::<Vec<_>>();
    let [a, b, c] = [first.address_id, second.address_id, third.address_id];
    assert_eq!(order(all(&w, MINSU).await), [(b.clone(), true), (a.clone(), false), (c.clone(), false)]);
    let req = wire::UpdateAddressRequest { address_id: c.clone(), is_default: Some(true), ..Default::default() };
    w.users.update_address(by(MINSU), req).await.unwrap();
    assert_eq!(order(all(&w, MINSU).await), [(c, true), (a, false), (b, false)]);
}

pub async fn an_address_changes_by_etag_and_goes(kind: Kind) {
    let w = world(kind).await;
    let made = w.users.create_address(by(MINSU), home()).await.unwrap();
    let req = |line2: &str, etag: &str| wire::UpdateAddressRequest {
        address_id: made.address_id.clone(),
        line2: Some(line2.into()),
        etag: etag.into(),
        ..Default::default()
    };
    let changed = w.users.update_address(by(MINSU), req("2층", &made.etag)).await.unwrap();
    assert_eq!((changed.line2.as_str(), changed.etag.as_str()), ("2층", "2"));
    assert_eq!(w.users.update_address(by(MINSU), req("3층", &made.etag)).await.unwrap_err().code(), Code::Aborted);
    let gone =
        wire::DeleteAddressRequest { address_id: made.address_id.clone(), etag: "2".into(), ..Default::default() };
    w.users.delete_address(by(MINSU), gone).await.unwrap();
    assert!(all(&w, MINSU).await.is_empty());
    let events = w.db.history("address", &made.address_id, 0, 10).await.unwrap();
    assert_eq!(events.iter().map(|e| e.version).collect::<Vec<_>>(), [1, 2, 3]);
}

pub async fn nobody_else_s_address_exists(kind: Kind) {
    let w = world(kind).await;
    let made = w.users.create_address(by(MINSU), home()).await.unwrap();
    w.users.create_address(by(EMMA), home()).await.unwrap();
    let id = || made.address_id.clone();
    let refused = [
        w.users.get_address(by(EMMA), wire::GetAddressRequest { address_id: id() }).await.unwrap_err(),
        w.users
            .update_address(
                by(EMMA),
                wire::UpdateAddressRequest { address_id: id(), line2: Some("x".into()), ..Default::default() },
            )
            .await
            .unwrap_err(),
        w.users
            .delete_address(by(EMMA), wire::DeleteAddressRequest { address_id: id(), ..Default::default() })
            .await
            .unwrap_err(),
        w.users.get_address(by(NOBODY), wire::GetAddressRequest { address_id: id() }).await.unwrap_err(),
    ];
    assert!(refused.iter().all(|e| e.reason() == "ADDRESS_NOT_FOUND"), "{refused:?}");
    assert_eq!(all(&w, MINSU).await, [made]);
}

pub async fn a_parcel_goes_to_an_address_of_the_buyer_s(kind: Kind) {
    let w = world(kind).await;
    let made = w.users.create_address(by(MINSU), home()).await.unwrap();
    let ask = async |user_id: &str| {
        let req = wire::GetAddressOfRequest { user_id: user_id.into(), address_id: made.address_id.clone() };
        w.users.get_address_of(system("shipping"), req).await
    };
    assert_eq!(ask(MINSU).await.unwrap(), made);
    for other in [EMMA, NOBODY] {
        assert_eq!(ask(other).await.unwrap_err().reason(), "ADDRESS_NOT_FOUND", "{other}");
    }
}

pub async fn there_is_a_limit_and_there_are_pages(kind: Kind) {
    let w = world(kind).await;
    for _ in 0..20 {
        w.users.create_address(by(MINSU), home()).await.unwrap();
    }
    let e = w.users.create_address(by(MINSU), home()).await.unwrap_err();
    assert_eq!(e.reason(), "TOO_MANY_ADDRESSES");
    let mut req = wire::ListAddressesRequest { page_size: 7, ..Default::default() };
    let mut sizes = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    loop {
        let page = w.users.list_addresses(by(MINSU), req.clone()).await.unwrap();
        sizes.push(page.addresses.len());
        ids.extend(page.addresses.into_iter().map(|a| a.address_id));
        if page.next_page_token.is_empty() {
            break;
        }
        req.page_token = page.next_page_token;
    }
    assert_eq!((sizes, ids.len()), (vec![7, 7, 6], 20));
}

pub async fn an_address_may_lie_abroad(kind: Kind) {
    let w = world(kind).await;
    let made = w.users.create_address(by(MINSU), home()).await.unwrap();
    assert_eq!(made.country_code, "KR");
    let tokyo = wire::CreateAddressRequest { postal_code: "100-0001".into(), country_code: "JP".into(), ..home() };
    let tokyo = w.users.create_address(by(MINSU), tokyo).await.unwrap();
    let req = wire::GetAddressOfRequest { user_id: MINSU.into(), address_id: tokyo.address_id.clone() };
    assert_eq!(w.users.get_address_of(system("shipping"), req).await.unwrap().country_code, "JP");
    let here = wire::CreateAddressRequest { postal_code: "100-0001".into(), ..home() };
    let e = w.users.create_address(by(MINSU), here).await.unwrap_err();
    assert_eq!(e.field_violations()[0].field, "postal_code");
    let moves = wire::UpdateAddressRequest {
        address_id: tokyo.address_id,
        country_code: Some("KR".into()),
        ..Default::default()
    };
    let e = w.users.update_address(by(MINSU), moves.clone()).await.unwrap_err();
    assert_eq!(e.field_violations()[0].field, "postal_code");
    let moves = wire::UpdateAddressRequest { postal_code: Some("04524".into()), ..moves };
    let moved = w.users.update_address(by(MINSU), moves).await.unwrap();
    assert_eq!((moved.country_code.as_str(), moved.postal_code.as_str()), ("KR", "04524"));
}
