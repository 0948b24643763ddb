use crate::world::{PASSWORD, Reason, World};
use chrono::TimeDelta;
use jangteo_core::{Call, Clock};
use proto::jangteo::auth::v1::{self as pb, auth_service::Api};
use std::collections::HashSet;

async fn kids(w: &World) -> Vec<String> {
    let jwks = w.auth.get_jwks(w.anybody(), pb::GetJwksRequest {}).await.unwrap();
    jwks.keys.into_iter().map(|k| k.kid).collect()
}

fn kid(set: &pb::TokenSet) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let header = BASE64_URL_SAFE_NO_PAD.decode(set.access_token.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&"EdDSA".into(), &"at+jwt".into()));
    header["kid"].as_str().unwrap().to_owned()
}

async fn rotate(w: &World) {
    w.auth.clone().rotate_keys(Call::system("auth", "rotate-keys", w.clock.now())).await.unwrap();
}

#[tokio::test]
async fn the_key_set_is_what_the_rfc_says() {
    let w = World::new().await;
    let jwks = w.auth.get_jwks(w.anybody(), pb::GetJwksRequest {}).await.unwrap();
    let [key] = jwks.keys.as_slice() else { panic!("one key") };
    let constants = (key.kty.as_str(), key.crv.as_str(), key.alg.as_str(), key.r#use.as_str());
    assert_eq!(constants, ("OKP", "Ed25519", "EdDSA", "sig"));
    assert_eq!((key.x.len(), key.kid.len()), (43, 16));
}

#[tokio::test]
async fn keys_are_published_before_they_sign_and_until_their_last_token_has_expired() {
    let w = World::with(|c| c.keys.lifetime = 86_400).await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    let mut seen = HashSet::new();
    let mut signers = HashSet::new();
    let mut set = w.login("a@b.kr", PASSWORD).await.unwrap();
    for _ in 0..30 {
        let before = kids(&w).await;
        w.advance(TimeDelta::minutes(119));
        rotate(&w).await;
        // An hour-old token is verified with whatever is published now.
        let old = set;
        w.advance(TimeDelta::minutes(1));
        set = w.login("a@b.kr", PASSWORD).await.unwrap();
        let signer = kid(&set);
        if !signers.contains(&signer) && !signers.is_empty() {
            assert!(before.contains(&signer), "verifiers had two hours to fetch it");
        }
        signers.insert(signer);
        seen.extend(kids(&w).await);
        w.verify(&set.access_token).await.unwrap();
        assert_eq!(w.verify(&old.access_token).await.reason(), "TOKEN_EXPIRED");
        w.advance(TimeDelta::minutes(59));
        rotate(&w).await;
        w.verify(&set.access_token).await.unwrap();
        assert!(kids(&w).await.len() <= 2);
    }
    assert!(signers.len() >= 3, "{} keys signed", signers.len());
    assert!(kids(&w).await.len() < seen.len(), "old keys are gone");
}

#[tokio::test]
async fn replicas_agree_on_the_key() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let other = World::service(&w.db, w.outbox.clone(), auth::Config::default()).await;
    let also = other.login(w.anybody(), crate::world::credentials("a@b.kr", PASSWORD)).await.unwrap();
    assert_eq!(kid(&set), kid(&also));
}
