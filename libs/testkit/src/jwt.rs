//! Access tokens as an attacker would make them from a good one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    part(token.split('.').nth(1).expect("header.claims.signature"))
}

/// Tokens that claim more than `token` does and that nobody signed; each with a name for messages.
pub fn forgeries(token: &str) -> Vec<(&'static str, String)> {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("no token: {token}") };
    let mut greedy: Value = part(claims);
    greedy["roles"] = json!(["user", "admin"]);
    let mut unsigned: Value = part(header);
    unsigned["alg"] = json!("none");
    let mut symmetric: Value = part(header);
    symmetric["alg"] = json!("HS256");
    let mut own_key: Value = part(header);
    own_key["jwk"] = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([7; 32])});
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    vec![
        ("other claims under the same signature", format!("{header}.{}.{signature}", text(&greedy))),
        ("no algorithm and no signature", format!("{}.{}.", text(&unsigned), text(&greedy))),
        ("a symmetric algorithm", format!("{}.{}.{signature}", text(&symmetric), text(&greedy))),
        ("a key of its own", format!("{}.{}.{signature}", text(&own_key), text(&greedy))),
        ("another signature", format!("{header}.{claims}.{other}{}", &signature[1..])),
        ("no signature", format!("{header}.{claims}.")),
    ]
}

fn part(text: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn text(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
