//! What the protos mark as personal or secret never reaches a log; nor, readable, a store.

use std::path::Path;

use serde_json::{Value, json};
use testkit::{Client, Market, Topology, eventually};

use crate::{
    descriptors::{Method, body, methods, sensitivity},
    everywhere,
    world::{SOON, setup},
};

everywhere!(canaries_never_sing);

/// Chatty, as an operator looking for a fault would have it.
const LOG: &str = "debug,h2=info,hyper=info,hyper_util=info,rustls=info,tower=info";

/// The strings to look for afterwards.
#[derive(Default)]
struct Canaries(Vec<String>);

impl Canaries {
    /// A value for a sensitive field that its rules allow.
    fn value(&mut self, name: &str) -> Option<Value> {
        let n = self.0.len();
        let canary = match name {
            "email" => format!("canary{n:04}@burrow.example"),
            "phone_number" => format!("+8210{:08}", 73_310_000 + n),
            // Too short to be told from other digits.
            "postal_code" | "code" | "totp_code" => return None,
            "recovery_code" => format!("canary-{n:04}-recovery"),
            _ => format!("canary-{n:04}-{name}"),
        };
        self.0.push(canary.clone());
        Some(json!(canary))
    }

    fn keep(&mut self, reply: &testkit::Reply, names: &[&str]) {
        self.0.extend(names.iter().filter_map(|name| reply[*name].as_str()).map(str::to_owned));
    }

    fn found_in(&self, text: &[u8]) -> Vec<&str> {
        let text = String::from_utf8_lossy(text);
        self.0.iter().filter(|canary| text.contains(canary.as_str())).map(String::as_str).collect()
    }
}

async fn canaries_never_sing(topology: Topology) {
    let market = setup(topology).env("JANGTEO_TELEMETRY__LOG", LOG).start().await;
    let client = market.client();
    let mut canaries = Canaries::default();
    let access = a_person_made_of_canaries(&client, &mut canaries).await;
    for method in methods() {
        for spoilt in [false, true] {
            for token in [None, Some(&access)] {
                send(&client, &mut canaries, &method, token, spoilt).await;
            }
        }
    }
    assert!(canaries.0.len() > 50, "only {} canaries were sent", canaries.0.len());

    let logs = market.logs();
    assert!(
        logs.contains("/v1/auth/login") || logs.contains("AuthService/Login"),
        "the log does not even tell of calls"
    );
    let singing: Vec<_> = logs.lines().filter(|line| !canaries.found_in(line.as_bytes()).is_empty()).take(5).collect();
    assert!(singing.is_empty(), "in the logs:\n{}", singing.join("\n"));
    if topology == Topology::Embedded {
        readable_in_stores(&market, &canaries);
    }
    seen_where_they_belong(&market, &canaries).await;
}

/// A search that finds nothing anywhere would prove nothing: letters are addressed to canaries.
async fn seen_where_they_belong(market: &Market, canaries: &Canaries) {
    eventually(SOON, async || {
        let mut found = false;
        let mail = market.folder().join("mail");
        if mail.exists() {
            each_file(&mail, &mut |_, content| found |= !canaries.found_in(content).is_empty());
        }
        found
    })
    .await;
}

/// Registers, signs in, fills the profile: what is accepted and kept.
async fn a_person_made_of_canaries(client: &Client, canaries: &mut Canaries) -> String {
    let [email, password, name] = ["email", "password", "display_name"].map(|f| canaries.value(f).expect("a value"));
    let account = json!({"email": email, "password": password, "displayName": name});
    client.post("/v1/auth/register", account).send().await.expect(200);
    let login = client.post("/v1/auth/login", json!({"email": email, "password": password})).send().await.expect(200);
    canaries.keep(&login, &["accessToken", "refreshToken"]);
    let body = json!({"refreshToken": login["refreshToken"]});
    let refreshed = client.post("/v1/auth/refresh", body).send().await.expect(200);
    canaries.keep(&refreshed, &["accessToken", "refreshToken"]);
    let access = refreshed.str("accessToken").to_owned();
    let proof = json!({"password": password});
    let totp = client.post("/v1/auth/totp:enroll", proof).bearer(&access).send().await.expect(200);
    canaries.keep(&totp, &["secret", "otpauthUrl"]);
    eventually(SOON, async || client.get("/v1/users/me").bearer(&access).send().await.status == 200).await;
    let [bio, real_name, phone] = ["bio", "real_name", "phone_number"].map(|f| canaries.value(f).expect("a value"));
    let profile = json!({"bio": bio, "realName": real_name, "phoneNumber": phone});
    client.patch("/v1/users/me", profile).bearer(&access).send().await.expect(200);
    access
}

/// Calls a method with canaries in its sensitive fields; spoilt: with one that breaks a rule.
async fn send(client: &Client, canaries: &mut Canaries, method: &Method, token: Option<&String>, spoilt: bool) {
    let Some(route) = &method.route else { return };
    if ["Logout", "Refresh"].contains(&method.policy.path.rsplit('/').next().unwrap_or_default()) && !spoilt {
        return; // the session is still needed
    }
    let mut content = body(&method.input, route, &mut |field| {
        let canary = (sensitivity(field) != 0).then(|| canaries.value(field.name())).flatten()?;
        let long = format!("{}{}", canary.as_str().unwrap_or_default(), "x".repeat(3000));
        Some(if spoilt { json!(long) } else { canary })
    });
    if spoilt && let Some(fields) = content.as_object_mut() {
        let canary = canaries.value("unknown_field").expect("a value");
        fields.insert("unknown".to_owned(), canary);
    }
    let id = match route.variable() {
        Some("product_id") => "prd_00000000000000000000000000000000",
        Some("session_id") => "ses_00000000000000000000000000000000",
        Some("address_id") => "adr_00000000000000000000000000000000",
        _ => "usr_00000000000000000000000000000000",
    };
    let mut request = client.request(route.verb.clone(), route.path(id));
    if route.has_body {
        request = request.json(content);
    }
    if let Some(token) = token {
        request = request.bearer(token);
    }
    let reply = request.send().await;
    assert!(reply.status < 500, "{reply:?}");
}

/// No file of the embedded market holds a canary as it was sent.
fn readable_in_stores(market: &Market, canaries: &Canaries) {
    let mut files = 0;
    each_file(&market.folder().join("data"), &mut |path, content| {
        files += 1;
        let found = canaries.found_in(content);
        assert!(found.is_empty(), "{found:?} can be read in {}", path.display());
    });
    assert!(files > 2, "no stores found");
}

fn each_file(folder: &Path, visit: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            each_file(&path, visit);
        } else {
            visit(&path, &std::fs::read(&path).expect("a file"));
        }
    }
}
