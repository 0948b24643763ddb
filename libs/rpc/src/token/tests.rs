//! A corpus of tokens that must not pass, each beside the one that does and differs in that one thing.

use super::*;
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD as B64};
use jangteo_core::{Code, from_micros};
use ring::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fn now() -> Time {
    from_micros(NOW * 1_000_000)
}

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn x(key: &Ed25519KeyPair) -> String {
    B64.encode(key.public_key().as_ref())
}

/// Knows `k1` and `k2`.
fn verifier() -> Verifier {
    let v = Verifier::default();
    v.set_keys([("k1", x(&key(1)).as_str()), ("k2", x(&key(2)).as_str())]);
    v
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"})
}

fn claims() -> Value {
    json!({"iss": "jangteo", "aud": "jangteo", "sub": "usr_1", "sid": "ses_1", "roles": ["user"],
           "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 3600, "jti": "tok_1"})
}

fn sign_text(header: &str, payload: &[u8], key: &Ed25519KeyPair) -> String {
    let message = format!("{}.{}", B64.encode(header), B64.encode(payload));
    let signature = key.sign(message.as_bytes());
    format!("{message}.{}", B64.encode(signature))
}

fn sign(header: &Value, claims: &Value) -> String {
    sign_text(&header.to_string(), claims.to_string().as_bytes(), &key(1))
}

/// Our key's signature under a header with `name` set to `value`; null removes it.
fn with_header(name: &str, value: Value) -> String {
    sign(&set(header(), name, value), &claims())
}

fn with_claim(name: &str, value: Value) -> String {
    sign(&header(), &set(claims(), name, value))
}

fn set(mut object: Value, name: &str, value: Value) -> Value {
    let map = object.as_object_mut().unwrap();
    if value.is_null() {
        map.remove(name)
    } else {
        map.insert(name.to_owned(), value)
    };
    object
}

/// Our key's signature over a payload given as text, for what `serde_json` would not write.
fn with_payload(payload: impl AsRef<[u8]>) -> String {
    sign_text(&header().to_string(), payload.as_ref(), &key(1))
}

fn payload_text(from: &str, to: &str) -> String {
    let text = claims().to_string();
    assert!(text.contains(from), "{from}");
    with_payload(text.replacen(from, to, 1))
}

fn good() -> String {
    sign(&header(), &claims())
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().unwrap()
}

fn with_signature(f: impl FnOnce(&mut Vec<u8>)) -> String {
    let token = good();
    let [h, p, s] = parts(&token);
    let mut signature = B64.decode(s).unwrap();
    f(&mut signature);
    format!("{h}.{p}.{}", B64.encode(signature))
}

/// The same number modulo the order of the group: valid for a verifier that does not reduce (RFC 8032, 5.1.7).
fn add_order(signature: &mut [u8]) {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0u16;
    for (s, l) in signature[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*s) + u16::from(l);
        *s = carry as u8;
        carry >>= 8;
    }
}

fn hs256(header: Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", B64.encode(tag))
}

/// The public key as a certificate tool would print it.
fn pem(key: &Ed25519KeyPair) -> String {
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend(key.public_key().as_ref());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
}

fn wrong_algorithms() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let h = set(header(), "alg", json!(alg));
        let message = format!("{}.{}", B64.encode(h.to_string()), B64.encode(claims().to_string()));
        out.push((format!("alg {alg:?} without a signature"), format!("{message}.")));
    }
    let names = [
        "none",
        "HS256",
        "HS384",
        "HS512",
        "RS256",
        "RS512",
        "PS256",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "eddsa",
        "EDDSA",
        "EdDSA ",
        "Ed448",
        "EdDSA\u{0}",
        "dir",
    ];
    for alg in names {
        out.push((format!("alg {alg:?} with our EdDSA signature"), with_header("alg", json!(alg))));
    }
    for alg in [json!(null), json!(["EdDSA"]), json!({"EdDSA": 1}), json!(0), json!(true)] {
        out.push((format!("alg is {alg}"), with_header("alg", alg)));
    }
    let (ours, h) = (key(1), set(header(), "alg", json!("HS256")));
    out.push(("HS256, the raw public key as secret".into(), hs256(h.clone(), ours.public_key().as_ref())));
    out.push(("HS256, the JWK's x as secret".into(), hs256(h.clone(), x(&ours).as_bytes())));
    out.push(("HS256, the PEM text as secret".into(), hs256(h.clone(), pem(&ours).as_bytes())));
    out.push(("HS256, an empty secret".into(), hs256(h, b"")));
    out.push(("an HMAC called EdDSA".into(), hs256(header(), ours.public_key().as_ref())));
    out
}

fn wrong_headers() -> Vec<(String, String)> {
    let mut out = Vec::new();
    let typs =
        ["JWT", "jwt", "rt+jwt", "id+jwt", "logout+jwt", "at+jwt ", " at+jwt", "at+jwt\u{0}", "at+jwt;x", "at-jwt", ""];
    for typ in typs {
        out.push((format!("typ {typ:?}"), with_header("typ", json!(typ))));
    }
    out.push(("typ missing".into(), with_header("typ", json!(null))));
    out.push(("typ a list".into(), with_header("typ", json!(["at+jwt"]))));
    let long = "k".repeat(1000);
    let kids = [
        "k3",
        "K1",
        "k1 ",
        " k1",
        "k1\u{0}",
        "k１",
        "k1\u{200b}",
        "",
        "../k1",
        "/dev/null",
        "..\\k1",
        "k1' OR '1'='1",
        "k1|cat /etc/passwd",
        "https://evil.example/k1",
        "file:///etc/passwd",
        long.as_str(),
    ];
    for kid in kids {
        out.push((format!("kid {:?}", &kid[..kid.len().min(30)]), with_header("kid", json!(kid))));
    }
    for kid in [json!(null), json!(1), json!(["k1"]), json!({"$ne": ""})] {
        out.push((format!("kid is {kid}"), with_header("kid", kid)));
    }
    out.push(("kid of our other key".into(), with_header("kid", json!("k2"))));
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(["unknown"]), json!("exp")] {
        out.push((format!("crit {crit}"), with_header("crit", crit)));
    }
    let b64 = set(set(header(), "b64", json!(false)), "crit", json!(["b64"]));
    let message = format!("{}.{}", B64.encode(b64.to_string()), claims());
    out.push((
        "an unencoded payload (RFC 7797)".into(),
        format!("{message}.{}", B64.encode(key(1).sign(message.as_bytes()))),
    ));
    let twice = |field: &str| format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"k1",{field}}}"#);
    for field in [r#""alg":"none""#, r#""alg":"EdDSA""#, r#""kid":"k2""#, r#""typ":"JWT""#, r#""\u0061lg":"none""#] {
        out.push((
            format!("{field} a second time"),
            sign_text(&twice(field), claims().to_string().as_bytes(), &key(1)),
        ));
    }
    for text in [
        "",
        "{}",
        "null",
        "[]",
        r#"["at+jwt","EdDSA",null,null,null,"k1"]"#,
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"k1\"} x",
    ] {
        out.push((format!("the header {text:?}"), sign_text(text, claims().to_string().as_bytes(), &key(1))));
    }
    out
}

/// Everything under which an attacker offers a key of their own.
fn attackers_keys() -> Vec<(String, String)> {
    let evil = key(66);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x(&evil), "kid": "k1", "alg": "EdDSA"});
    let forge = |h: Value| sign_text(&h.to_string(), claims().to_string().as_bytes(), &evil);
    let mut out = vec![
        ("another key under our kid".to_owned(), forge(header())),
        ("another key without a kid".to_owned(), forge(set(header(), "kid", json!(null)))),
    ];
    let offers = [
        ("jwk", jwk.clone()),
        ("jku", json!("https://evil.example/jwks.json")),
        ("jku", json!("https://jangteo@evil.example/.well-known/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!([BASE64_STANDARD.encode(evil.public_key().as_ref())])),
        ("x5t", json!("dGh1bWI")),
        ("keys", json!([jwk])),
        ("jwks", json!({"keys": [jwk]})),
    ];
    for (name, value) in offers {
        out.push((format!("{name} with the attacker's key, our kid"), forge(set(header(), name, value.clone()))));
        let other = set(set(header(), name, value), "kid", json!("evil"));
        out.push((format!("{name} with the attacker's key, their kid"), forge(other)));
    }
    out
}

fn wrong_claims() -> Vec<(String, String)> {
    let mut out = Vec::new();
    for name in ["iss", "aud", "sub", "sid", "roles", "iat", "nbf", "exp", "jti"] {
        out.push((format!("{name} missing"), with_claim(name, json!(null))));
        let map = claims().to_string().replacen(&format!("\"{name}\":"), &format!("\"{name}\":null,\"was\":"), 1);
        out.push((format!("{name} null"), with_payload(map)));
        let again = claims()[name].to_string();
        let twice = claims().to_string().replacen('{', &format!("{{\"{name}\":{again},"), 1);
        out.push((format!("{name} twice"), with_payload(twice)));
    }
    let escaped = claims().to_string().replacen('{', r#"{"s\u0075b":"usr_2","#, 1);
    out.push(("sub twice, once escaped".into(), with_payload(escaped)));
    let texts =
        ["", "Jangteo", "jangteo ", "jangteo\u{0}", "jаngteo", "ｊangteo", "https://jangteo", "jangteo.evil.example"];
    for name in ["iss", "aud"] {
        for text in texts {
            out.push((format!("{name} {text:?}"), with_claim(name, json!(text))));
        }
        for value in
            [json!(["jangteo"]), json!(["evil", "jangteo"]), json!([]), json!({"jangteo": 1}), json!(1), json!(true)]
        {
            out.push((format!("{name} is {value}"), with_claim(name, value)));
        }
    }
    for (name, value) in [
        ("sub", json!("")),
        ("sub", json!(1)),
        ("sub", json!(["usr_1"])),
        ("sid", json!("")),
        ("sid", json!({})),
        ("roles", json!("admin")),
        ("roles", json!({"0": "admin"})),
        ("roles", json!([1])),
        ("roles", json!([["admin"]])),
        ("jti", json!(7)),
        ("exp", json!(NOW)),
        ("exp", json!(NOW - 1)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!(i64::MIN)),
        ("exp", json!((NOW + 3600).to_string())),
        ("exp", json!(NOW as f64 + 3600.5)),
        ("exp", json!(u64::MAX)),
        ("nbf", json!(NOW + 3)),
        ("nbf", json!(i64::MAX)),
        ("nbf", json!("0")),
        ("nbf", json!(-1)),
        ("iat", json!(NOW + 3)),
        ("iat", json!("0")),
        ("iat", json!(1.5)),
    ] {
        out.push((format!("{name} is {value}"), with_claim(name, value)));
    }
    out.push(("exp in exponents".into(), payload_text(&format!("\"exp\":{}", NOW + 3600), "\"exp\":1e12")));
    let list = claims().as_object().unwrap().values().cloned().collect::<Value>();
    for text in [
        "",
        "null",
        "{}",
        "[]",
        "1",
        "\"usr_1\"",
        &list.to_string(),
        &format!("{} ,", claims()),
        &format!("\u{feff}{}", claims()),
    ] {
        out.push((format!("the payload {:?}", text.chars().take(20).collect::<String>()), with_payload(text)));
    }
    let mut broken = claims().to_string().replace("usr_1", "usr_X").into_bytes();
    *broken.iter_mut().find(|b| **b == b'X').unwrap() = 0xff;
    out.push(("a payload that isn't UTF-8".into(), with_payload(broken)));
    out.push((
        "a nested token".into(),
        sign_text(&set(header(), "cty", json!("JWT")).to_string(), good().as_bytes(), &key(1)),
    ));
    out
}

fn wrong_signatures() -> Vec<(String, String)> {
    let token = good();
    let [h, p, s] = parts(&token);
    let admin = B64.encode(set(claims(), "roles", json!(["admin"])).to_string());
    let other = with_claim("sub", json!("usr_2"));
    let raw = B64.decode(s).unwrap();
    let sign = |message: &[u8]| B64.encode(key(1).sign(message));
    vec![
        ("signature stripped", format!("{h}.{p}.")),
        ("signature and its dot stripped", format!("{h}.{p}")),
        ("one byte short", with_signature(|s| s.truncate(63))),
        ("half", with_signature(|s| s.truncate(32))),
        ("one byte long", with_signature(|s| s.push(0))),
        ("twice", with_signature(|s| s.extend(raw.clone()))),
        ("all zero", with_signature(|s| s.fill(0))),
        ("all ones", with_signature(|s| s.fill(255))),
        ("the neutral point", with_signature(|s| (s.fill(0), s[0] = 1).1)),
        ("S plus the order", with_signature(|s| add_order(s))),
        ("S plus twice the order", with_signature(|s| (add_order(s), add_order(s)).1)),
        ("top bit of S", with_signature(|s| s[63] |= 0x80)),
        ("sign bit of R", with_signature(|s| s[31] ^= 0x80)),
        ("R and S exchanged", with_signature(|s| s.rotate_left(32))),
        ("of another token", format!("{h}.{p}.{}", parts(&other)[2])),
        ("in hexadecimal", format!("{h}.{p}.{}", raw.iter().map(|b| format!("{b:02x}")).collect::<String>())),
        ("over the payload alone", format!("{h}.{p}.{}", sign(p.as_bytes()))),
        ("over the decoded text", format!("{h}.{p}.{}", sign(format!("{}.{}", header(), claims()).as_bytes()))),
        ("payload made an administrator's", format!("{h}.{admin}.{s}")),
        ("payload of another token", format!("{h}.{}.{s}", parts(&other)[1])),
        ("payload empty", format!("{h}..{s}")),
        ("header empty", format!(".{p}.{s}")),
        ("header of another key", format!("{}.{p}.{s}", B64.encode(set(header(), "kid", json!("k2")).to_string()))),
    ]
    .into_iter()
    .map(|(name, token)| (format!("signature: {name}"), token))
    .collect()
}

fn wrong_encodings() -> Vec<(String, String)> {
    let token = good();
    let [h, p, s] = parts(&token);
    // 64 bytes leave four bits of the last letter unused; they must be zero.
    let last = *s.as_bytes().last().unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.iter().position(|c| *c == last).unwrap();
    let loose = format!("{}{}", &s[..s.len() - 1], alphabet[at + 1] as char);
    let flat = json!({"protected": h, "payload": p, "signature": s});
    let mut out = vec![
        ("spare bits of the signature", format!("{h}.{p}.{loose}")),
        ("padded header", format!("{h}=.{p}.{s}")),
        ("padded payload", format!("{h}.{p}=.{s}")),
        ("padded signature", format!("{h}.{p}.{s}==")),
        ("the other alphabet", format!("{h}.{p}.{}", s.replace('-', "+").replace('_', "/") + "+/")),
        ("space before", format!(" {token}")),
        ("space behind", format!("{token} ")),
        ("line break behind", format!("{token}\n")),
        ("tab inside", format!("{h}.\t{p}.{s}")),
        ("space inside", format!("{h} .{p}.{s}")),
        ("folded", format!("{h}.{}\r\n {}.{s}", &p[..10], &p[10..])),
        ("NUL behind", format!("{token}\0")),
        ("NUL inside", format!("{h}.{p}\0.{s}")),
        ("a comma and a second token", format!("{token},{token}")),
        ("Bearer twice", format!("Bearer {token}")),
        ("quoted", format!("\"{token}\"")),
        ("percent signs", token.replace('.', "%2E")),
        ("full-width dots", token.replace('.', "．")),
        ("one dot leader", token.replace('.', "․")),
        ("zero width space", format!("{h}.{p}.\u{200b}{s}")),
        ("byte order mark", format!("\u{feff}{token}")),
        ("full-width letter", token.replacen('e', "ｅ", 1)),
        ("combining accent", format!("{token}\u{301}")),
        ("four parts", format!("{token}.{s}")),
        ("four parts, one empty", format!("{token}.")),
        ("five parts, as encrypted tokens have", format!("{h}.{p}.{s}.{p}.{s}")),
        ("a dot before", format!(".{token}")),
        ("two parts joined", format!("{h}{p}.{s}")),
        ("JSON", flat.to_string()),
        ("JSON, general form", json!({"payload": p, "signatures": [{"protected": h, "signature": s}]}).to_string()),
        ("nothing", String::new()),
        ("a dot", ".".into()),
        ("two dots", "..".into()),
        ("three dots", "...".into()),
        ("a word", "token".into()),
        ("the claims alone", claims().to_string()),
        ("an opaque token", "rt_0123456789abcdef0123456789abcdef".into()),
        ("a huge one, rightly signed", with_claim("pad", json!("x".repeat(MAX_TOKEN)))),
        ("a huge one of dots", ".".repeat(100_000)),
        ("a huge header", with_header("pad", json!("x".repeat(MAX_TOKEN)))),
        ("deeply nested", with_payload("[".repeat(2500))),
    ];
    out.iter_mut().map(|(name, token)| (format!("encoding: {name}"), std::mem::take(token))).collect()
}

/// Looks again whenever it is asked to, and finds the same keys.
async fn feed(v: &Verifier) -> std::convert::Infallible {
    loop {
        v.keys_wanted().await;
        v.set_keys([("k1", x(&key(1)).as_str()), ("k2", x(&key(2)).as_str())]);
    }
}

#[tokio::test]
async fn no_forged_token_passes() {
    let corpus: Vec<_> =
        [wrong_algorithms(), wrong_headers(), attackers_keys(), wrong_claims(), wrong_signatures(), wrong_encodings()]
            .concat();
    assert!(corpus.len() >= 200, "{}", corpus.len());
    let v = verifier();
    v.verify(&good(), now()).await.expect("what they all differ from");
    let check = async {
        let mut seen = std::collections::HashSet::new();
        for (name, token) in &corpus {
            assert_ne!(*token, good(), "{name}: isn't forged");
            assert!(seen.insert(token), "{name}: is in the corpus twice");
            match v.verify(token, now()).await {
                Ok(user) => panic!("{name}: passes as {user:?}: {token}"),
                Err(e) => {
                    assert_eq!(e.code(), Code::Unauthenticated, "{name}: {e:?}");
                    assert!(["TOKEN_INVALID", "TOKEN_EXPIRED"].contains(&e.reason()), "{name}: {e:?}");
                    assert!(token.len() < 20 || !e.message().contains(token), "{name}: the message holds the token");
                }
            }
        }
    };
    tokio::select! { () = check => {}, never = feed(&v) => match never {} }
}

#[tokio::test]
async fn no_letter_of_a_token_can_be_changed() {
    let (v, token) = (verifier(), good());
    let check = async {
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(v.verify(&changed, now()).await.is_err(), "letter {at}");
        }
    };
    tokio::select! { () = check => {}, never = feed(&v) => match never {} }
}

#[tokio::test]
async fn the_right_ones_pass() {
    let v = verifier();
    let evil = x(&key(66));
    let k2 = sign_text(&set(header(), "kid", json!("k2")).to_string(), claims().to_string().as_bytes(), &key(2));
    for (name, token) in [
        ("plain", good()),
        ("the other key", k2),
        ("typ in capitals", with_header("typ", json!("AT+JWT"))),
        ("a jku that nobody looks at", with_header("jku", json!("https://evil.example/jwks.json"))),
        ("an x5u that nobody looks at", with_header("x5u", json!("https://evil.example/cert.pem"))),
        ("a jwk that nobody looks at", with_header("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": evil}))),
        ("a claim of a newer auth service", with_claim("tenant", json!("seoul"))),
        ("no roles", with_claim("roles", json!([]))),
        ("nbf within the leeway", with_claim("nbf", json!(NOW + 2))),
        ("nbf long ago", with_claim("nbf", json!(0))),
        ("the last second", with_claim("exp", json!(NOW + 1))),
    ] {
        let user = v.verify(&token, now()).await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(&*user.user_id, "usr_1", "{name}");
        assert_eq!(&*user.session_id, "ses_1", "{name}");
    }
    let user = v.verify(&with_claim("roles", json!(["user", "admin"])), now()).await.unwrap();
    assert_eq!(*user.roles, ["user".to_owned(), "admin".to_owned()]);
    assert_eq!(user.expires.timestamp(), NOW + 3600);
}

#[tokio::test]
async fn an_expired_token_says_so() {
    let v = verifier();
    let e = v.verify(&with_claim("exp", json!(NOW)), now()).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unauthenticated, "TOKEN_EXPIRED"));
    // Only to those whose token was ours.
    let evil = sign_text(&header().to_string(), set(claims(), "exp", json!(NOW)).to_string().as_bytes(), &key(66));
    assert_eq!(v.verify(&evil, now()).await.unwrap_err().reason(), "TOKEN_INVALID");
}

#[tokio::test]
async fn a_revoked_session_is_refused_at_once_and_the_others_are_not() {
    let v = verifier();
    let until = from_micros((NOW + 3600) * 1_000_000);
    v.revoke("ses_1", until, now());
    v.revoke("ses_1", now(), now());
    let e = v.verify(&good(), now()).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::Unauthenticated, "SESSION_REVOKED"));
    assert!(v.verify(&with_claim("sid", json!("ses_2")), now()).await.is_ok());
    // The list is pruned as it grows; what is still needed stays.
    for i in 0..5000 {
        v.revoke(&format!("old_{i}"), now() - Duration::from_secs(1), now());
    }
    assert!(v.revoked.lock().unwrap().sessions.len() <= 2048);
    assert_eq!(v.verify(&good(), now()).await.unwrap_err().reason(), "SESSION_REVOKED");
}

#[tokio::test]
async fn a_retired_key_stops_working() {
    let v = verifier();
    v.set_keys([("k2", x(&key(2)).as_str())]);
    let check = async { v.verify(&good(), now()).await.unwrap_err() };
    let look = async {
        v.keys_wanted().await;
        v.set_keys([("k2", x(&key(2)).as_str())]);
    };
    let (e, ()) = tokio::join!(check, look);
    assert_eq!(e.reason(), "TOKEN_INVALID");
}

#[tokio::test]
async fn an_unknown_key_waits_for_the_next_look() {
    let v = verifier();
    let k3 = sign_text(&set(header(), "kid", json!("k3")).to_string(), claims().to_string().as_bytes(), &key(3));
    let look = async {
        v.keys_wanted().await;
        v.set_keys([("k1", x(&key(1)).as_str()), ("k3", x(&key(3)).as_str())]);
    };
    let (first, second, ()) = tokio::join!(v.verify(&k3, now()), v.verify(&k3, now()), look);
    assert!(first.is_ok() && second.is_ok(), "rotated in: {first:?} {second:?}");

    let k4 = sign_text(&set(header(), "kid", json!("k4")).to_string(), claims().to_string().as_bytes(), &key(4));
    let started = std::time::Instant::now();
    let (refused, ()) = tokio::join!(v.verify(&k4, now()), async {
        v.keys_wanted().await;
        v.set_keys([("k1", x(&key(1)).as_str())]);
    });
    assert_eq!(refused.unwrap_err().reason(), "TOKEN_INVALID");
    assert!(started.elapsed() < KEY_WAIT, "the look answers, not the clock");
}

#[tokio::test]
async fn without_any_keys_the_auth_service_is_away_and_the_token_not_to_blame() {
    let v = Verifier::default();
    let token = good();
    let e = v.verify(&token, now()).await.unwrap_err();
    assert_eq!(e.code(), Code::Unavailable);
    // A look that found nothing is an answer.
    let (e, ()) = tokio::join!(v.verify(&token, now()), async {
        v.keys_wanted().await;
        v.set_keys([]);
    });
    assert_eq!(e.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_unreadable_key_is_left_out() {
    let v = Verifier::default();
    let (short, long) = (B64.encode([1u8; 16]), B64.encode([1u8; 33]));
    v.set_keys([("a", "!"), ("b", short.as_str()), ("c", long.as_str()), ("d", ""), ("k1", x(&key(1)).as_str())]);
    assert_eq!(v.keys.load().len(), 1);
    assert!(v.verify(&good(), now()).await.is_ok());
}
