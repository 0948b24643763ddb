//! Where no provider is configured: folders that developers read.

use crate::providers::{KEY, TO, parcel};
use chrono::TimeDelta;
use jangteo_core::{Clock, SystemClock};
use notification::{
    Outcome,
    ports::{Sender, email::Email, sandbox::Sandbox},
};
use serde_json::Value;
use std::{os::unix::fs::PermissionsExt, sync::Arc};

#[tokio::test]
async fn sandboxes_keep_what_developers_read() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new(folder.path().join("sms"));
    for _ in 0..2 {
        assert_eq!(sandbox.send(TO, &parcel()).await, Outcome::Sent(KEY.into()));
    }
    let files = |name: &str| -> Vec<_> {
        let dir = std::fs::read_dir(folder.path().join(name)).unwrap();
        dir.map(|f| f.unwrap().path()).collect()
    };
    let [file] = files("sms").try_into().expect("the same parcel is the same file");
    let text: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((text["to"].as_str(), text["kind"].as_str()), (Some(TO), Some("order_paid")));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    sandbox.sweep(SystemClock.now() + TimeDelta::minutes(1)).await.unwrap();
    assert!(files("sms").is_empty());

    let email = Email(Arc::new(mail::Folder::new(folder.path().join("mail"))));
    assert!(matches!(email.send("a@b.kr", &parcel()).await, Outcome::Sent(_)));
    let [file] = files("mail").try_into().expect("one mail");
    assert!(file.to_str().unwrap().ends_with("mal_0192f1c2e4b87c3a9d5e6f708192a3b4-order_paid.txt"));
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("To: a@b.kr\nSubject: 결제가") && text.contains("https://jangteo.example/orders/ord_1"));
}
