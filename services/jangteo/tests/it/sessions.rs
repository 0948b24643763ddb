//! Tokens: used once, refused when revoked, worthless when made up.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use testkit::{Client, Market, Topology, eventually, jwt};

use crate::{
    everywhere,
    world::{Person, join, login, market},
};

everywhere!(
    fifty_refreshes_at_once_are_one_success,
    a_revoked_session_is_refused_within_a_second,
    forgeries_open_nothing
);

async fn fifty_refreshes_at_once_are_one_success(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let (victim, bystander) = (join(&client).await, join(&client).await);
    let body = json!({"refreshToken": victim.refresh});
    let replies = join_all((0..50).map(|_| client.post("/v1/auth/refresh", body.clone()).send())).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!(won.len(), 1, "{won:?}");
    for reply in lost {
        reply.expect(401);
    }
    // The token came a second time: whoever holds the session, nobody does any longer.
    let fresh = json!({"refreshToken": won[0]["refreshToken"]});
    client.post("/v1/auth/refresh", fresh).send().await.expect(401);
    for access in [won[0].str("accessToken"), &victim.access] {
        refused(&client, access, Duration::from_secs(2)).await;
    }
    client.get("/v1/auth/sessions").bearer(&bystander.access).send().await.expect(200);
}

async fn a_revoked_session_is_refused_within_a_second(topology: Topology) {
    let mut market = market(topology).await;
    let client = market.client();
    let thief = join(&client).await;
    revoked_within_a_second(&client, &thief).await;
    if topology != Topology::Embedded {
        let another = login(&client, &thief.email).await;
        market.redis().kill9();
        revoked_within_a_second(&client, &another).await;
    }
}

/// Ends `session` from another one, and waits for each service to refuse its token.
async fn revoked_within_a_second(client: &Client, session: &Person) {
    let owner = login(client, &session.email).await;
    refused_nowhere(client, session).await;
    let path = format!("/v1/auth/sessions/{}", session.session_id);
    client.delete(path).bearer(&owner.access).send().await.expect(200);
    let revoked = Instant::now();
    refused(client, &session.access, Duration::from_secs(1)).await;
    println!("refused after {:?}", revoked.elapsed());
    refused_nowhere(client, &owner).await;
}

/// Paths that ask for a signed-in person, of each service that has one.
const SIGNED_IN: [&str; 9] = [
    "/v1/auth/sessions",
    "/v1/users/me/consents",
    "/v1/users/me/addresses",
    "/v1/media",
    "/v1/wishlist",
    "/v1/orders",
    "/v1/wallet",
    "/v1/shipments",
    "/v1/notifications",
];

/// Public, yet a bad token is refused there too.
const PUBLIC: [&str; 3] = ["/v1/products", "/v1/cart", "/v1/search/products"];

async fn refused_nowhere(client: &Client, person: &Person) {
    for path in SIGNED_IN {
        client.get(path).bearer(&person.access).send().await.expect(200);
    }
}

async fn refused(client: &Client, access: &str, within: Duration) {
    eventually(within, async || {
        for path in SIGNED_IN.iter().chain(&PUBLIC) {
            let reply = client.get(path).bearer(access).send().await;
            if reply.status != 401 {
                return Err(reply);
            }
        }
        Ok(())
    })
    .await;
}

async fn forgeries_open_nothing(topology: Topology) {
    let market = market(topology).await;
    let client = market.client();
    let person = join(&client).await;
    assert_eq!(jwt::claims(&person.access)["sub"], json!(person.user_id));
    for (name, token) in jwt::forgeries(&person.access) {
        for path in SIGNED_IN.iter().chain(&PUBLIC) {
            let reply = client.get(path).bearer(&token).send().await;
            assert_eq!(reply.status, 401, "{name}: {reply:?}");
        }
    }
    for header in ["Basic dXNlcjpwdw==", "Bearer", "Bearer a b", "bearer", &person.access] {
        let reply = client.get("/v1/auth/sessions").header("authorization", header).send().await;
        assert_eq!(reply.status, 401, "{header}: {reply:?}");
    }
    refused_nowhere(&client, &person).await;
    nothing_logged(&market, &person);
}

fn nothing_logged(market: &Market, person: &Person) {
    let logs = market.logs();
    for secret in [&person.access, &person.refresh] {
        assert!(!logs.contains(secret.as_str()), "a token is in the logs");
    }
}
