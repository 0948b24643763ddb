//! The keys that sign access tokens: which one signs, which ones are published, when the next one comes.

use crate::{
    Auth,
    domain::{
        keys, secret,
        token::{self, Signer},
    },
    store,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use jangteo_core::{Call, Error, Result, Time};
use proto::jangteo::auth::v1 as pb;
use std::sync::{Arc, RwLock};
use store::key::StoredKey;
use zeroize::Zeroizing;

/// How long a replica goes on with the key it has. Far less than a key is published ahead.
const REFRESH: TimeDelta = TimeDelta::seconds(60);

/// The key that signs, opened.
#[derive(Default)]
pub struct Keys(RwLock<Option<(Arc<Signer>, Time)>>);

impl Auth {
    /// An access token for an open session, good for `ttl` seconds.
    pub(super) async fn access_token(&self, cx: &Call, set: &pb::TokenSet, ttl: i64) -> Result<String> {
        let roles = set.roles().map(crate::domain::person::role_name).collect();
        let jti = secret::hex(&super::random::<16>()?);
        let signer = self.signer(cx).await?;
        signer.sign(&token::claims(&set.user_id, &set.session_id, roles, cx.now, ttl, jti))
    }

    async fn signer(&self, cx: &Call) -> Result<Arc<Signer>> {
        if let Some((signer, loaded)) = self.keys.0.read().expect("no holder panics").as_ref()
            && (cx.now - *loaded).abs() < REFRESH
        {
            return Ok(signer.clone());
        }
        let stored = self.published_keys(cx).await?;
        let times: Vec<_> = stored.iter().map(StoredKey::time).collect();
        let current = keys::signer(&times, cx.now).and_then(|t| stored.iter().find(|k| k.kid() == t.kid));
        let current = current.ok_or_else(|| Error::internal("there is no signing key"))?;
        let signer = Arc::new(store::key::signer(self.db.primary(), &self.sealer, current).await?);
        *self.keys.0.write().expect("no holder panics") = Some((signer.clone(), cx.now));
        Ok(signer)
    }

    /// All keys; the first one is made when it is first needed.
    async fn published_keys(&self, cx: &Call) -> Result<Vec<StoredKey>> {
        let stored = store::key::all(self.db.primary()).await?;
        if !stored.is_empty() {
            return Ok(stored);
        }
        self.advance_keys(cx).await?;
        store::key::all(self.db.primary()).await
    }

    /// Makes the next key when it is time, and removes those whose last token has expired.
    pub(crate) async fn advance_keys(&self, cx: &Call) -> Result<()> {
        let cx = Call::system("auth", "rotate-keys", cx.now);
        let seed = Zeroizing::new(super::random::<32>()?);
        let kid = secret::hex(&super::random::<8>()?);
        let rotation = self.cfg.rotation();
        let (seed, kid) = (&seed, &kid);
        self.db
            .write(&cx, async |tx| {
                let times: Vec<_> = store::key::all(&tx).await?.iter().map(StoredKey::time).collect();
                if let Some(sign_time) = rotation.next(&times, tx.now()) {
                    store::key::add(&tx, &self.sealer, kid, seed, sign_time).await?;
                    tracing::info!(kid, %sign_time, "a signing key was published");
                }
                let retired: Vec<_> = rotation.retired(&times, tx.now()).into_iter().map(|k| k.kid.clone()).collect();
                if !retired.is_empty() {
                    store::key::remove(&tx, &retired).await?;
                    tracing::info!(?retired, "signing keys were retired");
                }
                Ok(())
            })
            .await
    }

    pub(super) async fn jwks(&self, cx: &Call) -> Result<pb::Jwks> {
        let keys = self.published_keys(cx).await?.into_iter().map(|k| pb::Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64_URL_SAFE_NO_PAD.encode(k.public_key()),
            kid: k.kid().to_owned(),
            alg: "EdDSA".to_owned(),
            r#use: "sig".to_owned(),
        });
        Ok(pb::Jwks { keys: keys.collect() })
    }
}
