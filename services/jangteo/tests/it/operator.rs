//! What the README and the command line promise to whoever runs a market.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};
use testkit::{Client, Process, Topology, eventually};

use crate::{
    descriptors::methods,
    world::{SOON, join, market, setup},
};

#[tokio::test]
async fn the_demo_is_the_same_every_time() {
    for topology in [Topology::Embedded, Topology::OneProcess] {
        // The accounts have a published password, so a market on servers takes them only when told to.
        let market = setup(topology).env("JANGTEO_DEMO_ACCOUNTS", "true").start().await;
        market.command(&["seed"]).await;
        let client = market.client();
        let first = titles(&client).await;
        assert!(first.len() >= 120, "{} listings", first.len());
        market.command(&["seed"]).await;
        assert_eq!(titles(&client).await, first);

        // Whom the README lets in.
        let minsu = json!({"email": "minsu@jangteo.example", "password": "jangteo-demo-2026"});
        let login = client.post("/v1/auth/login", minsu).send().await.expect(200);
        let me = client.get("/v1/users/me").bearer(login.str("accessToken")).send().await.expect(200);
        assert_eq!(me["displayName"], "김민수");
        let regions = client.get("/v1/regions").send().await.expect(200);
        assert_eq!(regions.list("regions").len(), 6);
        for region in regions.list("regions") {
            let query = [("regionId", region["regionId"].as_str().unwrap_or_default())];
            let found = client.get("/v1/products").query(&query).send().await.expect(200);
            assert!(!found.list("products").is_empty(), "nothing in {region}");
        }
    }
}

/// Every listing, page by page: its id and its title.
async fn titles(client: &Client) -> BTreeSet<(String, String)> {
    let (mut all, mut token) = (BTreeSet::new(), String::new());
    loop {
        let page =
            client.get("/v1/products").query(&[("pageSize", "100"), ("pageToken", &token)]).send().await.expect(200);
        let text = |product: &Value, field: &str| product[field].as_str().unwrap_or_default().to_owned();
        all.extend(page.list("products").iter().map(|p| (text(p, "productId"), text(p, "title"))));
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn consumers_and_their_dead_letters_are_visible() {
    for topology in [Topology::Embedded, Topology::OneProcess] {
        let market = market(topology).await;
        let person = join(&market.client()).await;
        eventually(SOON, async || {
            market.client().get("/v1/users/me").bearer(&person.access).send().await.status == 200
        })
        .await;
        eventually(SOON, async || {
            let printed = market.command(&["events", "consumers"]).await;
            if printed.contains("user.auth-user\tpending 0") { Ok(()) } else { Err(printed) }
        })
        .await;
        let printed = market.command(&["events", "dead-letters", "user.auth-user"]).await;
        assert!(printed.contains("0 dead letters"), "{printed}");
        // What was applied before changes nothing.
        let before = crate::stores::events(&market).await;
        let printed = market.command(&["events", "replay", "user.auth-user", "--from", "start"]).await;
        assert!(printed.contains("applied 0"), "{printed}");
        assert_eq!(crate::stores::events(&market).await, before);
    }
}

#[tokio::test]
async fn the_api_page_knows_every_route() {
    let market = market(Topology::Embedded).await;
    let description = market.client().get("/openapi.json").send().await.expect(200);
    let paths = description["paths"].as_object().expect("paths").clone();
    for method in methods() {
        let Some(route) = method.route else { continue };
        // The description names variables as the JSON does.
        let known = paths.iter().any(|(path, verbs)| {
            shape(path) == shape(&route.template) && verbs.get(route.verb.as_str().to_lowercase()).is_some()
        });
        assert!(known, "{} {} is not described", route.verb, route.template);
    }
    let page = market.client().get("/docs").send().await.expect(200);
    assert!(!page.text.contains("https://"), "the page needs no network");
}

/// A path whose variables have lost their names.
fn shape(path: &str) -> String {
    let mut parts = path.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shape, part| shape + "{}" + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// The first session of the README, word for word but for the port.
#[tokio::test]
async fn the_readme_tells_the_truth() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("a README");
    let session = readme.split("```sh\n").find(|block| block.starts_with("api=")).expect("a first session");
    let session = session.split("```").next().expect("the end of the block");
    let market = market(Topology::Embedded).await;
    let session = session.replace("http://127.0.0.1:8080", &market.url());
    assert!(session.contains(&market.url()), "{session}");
    let run = std::process::Command::new("bash").args(["-eu", "-c", &format!("{session}\necho")]).output();
    let output = run.expect("run bash");
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{errors}");
    assert!(!printed.contains("\"code\":"), "a request was refused:\n{printed}");
    for expected in
        ["\"mailSent\":true", "\"displayName\":\"한소라\"", "\"categories\":", "\"productId\":", "\"products\":"]
    {
        assert!(printed.contains(expected), "no {expected} in\n{printed}");
    }
}

/// What a stranger is shown first of what the market can stand; it starts a market of its own.
#[tokio::test]
async fn the_races_of_the_demonstration_hold() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let mut demo = Process::new("demo", env!("CARGO_BIN_EXE_jangteo"), log).args(["demo", "race", "--buyers", "20"]);
    demo.start();
    let status = demo.wait(4 * SOON).await;
    let printed = demo.log();
    assert!(status.success(), "{status}\n{printed}");
    for race in ["the last unit", "ten adds at once", "a double-clicked payment", "one key a thousand times"] {
        assert!(printed.contains(&format!("held  {race}")), "{race}\n{printed}");
    }
}
