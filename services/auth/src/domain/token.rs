//! Access tokens: JWTs (RFC 9068) signed with EdDSA, verified offline by every service.

use jangteo_core::{Error, Result, Time};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kit::rpc::{AUDIENCE, Claims, ISSUER, TOKEN_TYPE};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// What an access token says that is good for `ttl` seconds. `jti` is a name that no other token has.
pub fn claims(user_id: &str, session_id: &str, roles: Vec<String>, now: Time, ttl: i64, jti: String) -> Claims {
    let iat = now.timestamp();
    let [iss, aud, sub, sid] = [ISSUER, AUDIENCE, user_id, session_id].map(str::to_owned);
    Claims { iss, aud, sub, sid, roles, iat, nbf: iat, exp: iat + ttl, jti }
}

/// An Ed25519 key that signs.
pub struct Signer {
    kid: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    /// `seed` is the private key of RFC 8032.
    pub fn new(kid: impl Into<String>, seed: &[u8; 32]) -> Result<Self> {
        // A version 1 PKCS#8 wrapping, RFC 8410 section 7: constant bytes and then the seed.
        const PKCS8: [u8; 16] =
            [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::internal("the signing key is broken"))?;
        let der = zeroize::Zeroizing::new([PKCS8.as_slice(), seed].concat());
        Ok(Signer { kid: kid.into(), key: EncodingKey::from_ed_der(&der), public: pair.public_key().as_ref().to_vec() })
    }

    /// The 32 bytes that a JWK's `x` holds.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    pub fn sign(&self, claims: &Claims) -> Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.key).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use jangteo_core::from_micros;
    use jsonwebtoken::{DecodingKey, Validation};
    use ring::signature::{ED25519, UnparsedPublicKey};

    #[test]
    fn a_token_is_what_the_services_expect() {
        let signer = Signer::new("k1", &[7; 32]).unwrap();
        let roles = vec!["user".to_owned(), "admin".to_owned()];
        let now = from_micros(1_800_000_000_000_000);
        let token = signer.sign(&claims("usr_1", "ses_1", roles, now, 3600, "j1".into())).unwrap();

        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("at+jwt"), Some("k1")));
        let mut v = Validation::new(Algorithm::EdDSA);
        v.set_audience(&[AUDIENCE]);
        v.set_issuer(&[ISSUER]);
        v.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        v.validate_exp = false;
        v.validate_nbf = false;
        let jwk = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1",
            "x": BASE64_URL_SAFE_NO_PAD.encode(signer.public_key())});
        let key = DecodingKey::from_jwk(&serde_json::from_value(jwk).unwrap()).unwrap();
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &v).unwrap().claims;
        assert_eq!(
            claims,
            serde_json::json!({"iss": "jangteo", "aud": "jangteo", "sub": "usr_1", "sid": "ses_1",
                "roles": ["user", "admin"], "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_003_600, "jti": "j1"})
        );
        // The same by another implementation.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ED25519, signer.public_key())
            .verify(signed.as_bytes(), &BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
    }
}
