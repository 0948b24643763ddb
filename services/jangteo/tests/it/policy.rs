//! Who may call what on whose things, for every method that the descriptors know: what is declared
//! there is what the market does, and nothing else.

use serde_json::json;
use testkit::{Client, Market, Reply, Topology, eventually, jwt};

use crate::{
    descriptors::{Method, Route, body, matching, methods, pattern},
    everywhere,
    shopping::{key, picture},
    things::Peer,
    world::{ADMIN, Person, SOON, join, join_as, login, setup},
};
use prost_reflect::FieldDescriptor;
use proto::policy::{Access, RequestId};

everywhere!(the_whole_matrix, the_grpc_door_is_guarded_alike);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Anonymous,
    Owner,
    Other,
    Admin,
    Expired,
    Forged,
}

const EVERYBODY: [Who; 6] = [Who::Anonymous, Who::Owner, Who::Other, Who::Admin, Who::Expired, Who::Forged];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A thing of [`Who::Owner`]'s: own, or foreign for everybody else.
    Theirs,
    /// An id that nothing has.
    Absent,
    /// The method names no thing.
    None,
}

/// Signed-in methods that are meant for other people's things: a like and a wish are their maker's own.
const FOR_OTHERS: [&str; 5] = ["LikeProduct", "UnlikeProduct", "GetWish", "PutWish", "DeleteWish"];

/// Methods that can't know whether what they name is there, or needn't: 200, and nothing in it.
const NOT_LOOKED_FOR: [(&str, &str); 6] = [
    ("ListUserReviews", "people are user's: of nobody there are no reviews"),
    ("GetReviewStatistics", "the same"),
    ("GetTrust", "the same: everybody begins alike"),
    ("ListTemperatureChanges", "the same"),
    ("ListProductReviews", "products are catalog's: of none there are no reviews"),
    ("RemoveCartItem", "what is not in is out already"),
];

/// Public methods for the caller's own cart: a guest without a token is told so, whatever the product.
const OF_CARTS: [&str; 2] = ["UpdateCartItem", "RemoveCartItem"];

/// Public methods for those who sign what they send, as nobody here does: 400 SIGNATURE_INVALID, 403 WEBHOOK_FORGED.
const FOR_SIGNERS: [&str; 2] = ["ReceiveWebhook", "ReceiveCarrierWebhook"];

/// What has to come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The call reaches the handler and concerns the caller: neither 401 nor 403 nor 404.
    Allowed,
    /// 401 with one of the reasons about identity.
    Unauthenticated,
    /// 403.
    Denied,
    /// 403 or 404: a thing of somebody else's may hide.
    Hidden,
    /// 404.
    Absent,
    /// Refused for want of a signature.
    Unsigned,
    /// Whatever the method's own rules say, but no failure of ours.
    Any,
}

fn verdict(method: &Method, who: Who, target: Target) -> Verdict {
    let policy = &method.policy;
    let public = policy.access == Access::Public;
    let admins = policy.roles.contains(&"admin".to_owned()) && !policy.roles.contains(&"user".to_owned());
    match (who, target) {
        // A token that is present must be good, even where none is needed.
        (Who::Expired | Who::Forged, _) => Verdict::Unauthenticated,
        (Who::Anonymous, _) if !public => Verdict::Unauthenticated,
        (Who::Owner | Who::Other, _) if admins => Verdict::Denied,
        (Who::Anonymous, Target::Absent) if OF_CARTS.contains(&name(method)) => Verdict::Allowed,
        (_, Target::Absent) if NOT_LOOKED_FOR.iter().any(|(known, _)| *known == name(method)) => Verdict::Allowed,
        (_, Target::Absent) => Verdict::Absent,
        _ if FOR_SIGNERS.contains(&name(method)) => Verdict::Unsigned,
        (Who::Other, Target::Theirs) if !public && !FOR_OTHERS.contains(&name(method)) => Verdict::Hidden,
        (Who::Admin, Target::Theirs) if !admins => Verdict::Any,
        _ => Verdict::Allowed,
    }
}

fn name(method: &Method) -> &str {
    method.policy.path.rsplit('/').next().expect("a path")
}

impl Verdict {
    fn holds(self, reply: &Reply) -> bool {
        let identity = reply.status == 401
            && reply
                .reason()
                .is_some_and(|r| r.starts_with("TOKEN_") || ["SIGN_IN_REQUIRED", "SESSION_REVOKED"].contains(&r));
        match self {
            _ if reply.status >= 500 => false,
            Verdict::Allowed => !identity && ![403, 404, 405].contains(&reply.status),
            Verdict::Unauthenticated => identity,
            Verdict::Denied => reply.status == 403,
            Verdict::Hidden => [403, 404].contains(&reply.status),
            Verdict::Absent => reply.status == 404,
            Verdict::Unsigned => ["SIGNATURE_INVALID", "WEBHOOK_FORGED"].contains(&reply.reason().unwrap_or_default()),
            Verdict::Any => !identity,
        }
    }
}

/// The people of the matrix. Methods of auth change sessions, passwords and roles, so whoever calls one
/// calls nothing else.
struct Cast {
    owner: Person,
    other: Person,
    admin: Person,
    /// With whom they trade.
    peer: Peer,
    /// Issued by this very market, and too old.
    expired: String,
}

impl Cast {
    async fn new(client: &Client, expired: &str) -> Cast {
        let (owner, other) = (join(client).await, join(client).await);
        let (admin, peer) = (administrator(client).await, Peer::join(client).await);
        Cast { owner, other, admin, peer, expired: expired.to_owned() }
    }

    /// Somebody else in the role of `who`.
    async fn recast(&mut self, client: &Client, who: Who) {
        match who {
            Who::Owner => self.owner = join(client).await,
            Who::Other => self.other = join(client).await,
            Who::Admin => self.admin = administrator(client).await,
            Who::Anonymous | Who::Expired | Who::Forged => {}
        }
    }

    fn token(&self, who: Who) -> Option<String> {
        match who {
            Who::Expired => Some(self.expired.clone()),
            Who::Forged => Some(jwt::forgeries(&self.owner.access).swap_remove(0).1),
            _ => self.person(who).map(|person| person.access.clone()),
        }
    }

    fn person(&self, who: Who) -> Option<&Person> {
        match who {
            Who::Owner => Some(&self.owner),
            Who::Other => Some(&self.other),
            Who::Admin => Some(&self.admin),
            Who::Anonymous | Who::Expired | Who::Forged => None,
        }
    }
}

/// Somebody new whom the first administrator made one too.
async fn administrator(client: &Client) -> Person {
    let person = join(client).await;
    let grant = client.post(format!("/v1/auth/users/{}/roles:grant", person.user_id), json!({"role": "ROLE_ADMIN"}));
    grant.bearer(&login(client, ADMIN).await.access).send().await.expect(200);
    login(client, &person.email).await
}

/// A name of the right shape that nothing has.
fn absent(method: &Method, variable: &str) -> String {
    let field = method.input.get_field_by_name(variable).expect("a field for each variable");
    match (variable, pattern(&field)) {
        ("provider" | "carrier", _) => "nobody".to_owned(),
        (_, Some(pattern)) => matching(&pattern),
        (_, None) => "0".repeat(43),
    }
}

/// A market, and a token of its own that has expired.
async fn market_with_an_expired_token(topology: Topology) -> (Market, String) {
    // Beside the sandbox a cheaper provider whose window takes a form; it is never asked for anything.
    let mut market = setup(topology)
        .env("JANGTEO_AUTH__ACCESS_TTL", "1")
        .env("JANGTEO_PAYMENT__PUBLIC_URL", "https://market.example")
        .env("JANGTEO_PAYMENT__PROVIDERS__INICIS__MID", "INIpayTest")
        .env("JANGTEO_PAYMENT__PROVIDERS__INICIS__HASH_KEY", "a-hash-key")
        .env("JANGTEO_PAYMENT__PROVIDERS__INICIS__API_KEY", "an-api-key")
        .env("JANGTEO_PAYMENT__PROVIDERS__INICIS__URL", "http://127.0.0.1:9")
        .env("JANGTEO_PAYMENT__PROVIDERS__INICIS__COST__BASIS_POINTS", "0")
        .start()
        .await;
    let old = join_as(&market.client(), ADMIN).await;
    market.kill9();
    market.set_env("JANGTEO_AUTH__ACCESS_TTL", None);
    market.restart().await;
    let client = market.client();
    let expired =
        async || client.get("/v1/auth/sessions").bearer(&old.access).send().await.reason() == Some("TOKEN_EXPIRED");
    eventually(SOON, expired).await;
    (market, old.access)
}

async fn the_whole_matrix(topology: Topology) {
    let (market, expired) = market_with_an_expired_token(topology).await;
    let client = market.client();
    let mut cast = Cast::new(&client, &expired).await;
    settled(&client, &cast).await;
    let (mut cells, mut wrong) = (0, Vec::new());
    for method in methods() {
        let Some(route) = &method.route else { continue };
        let targets: &[Target] =
            if route.variable().is_some() { &[Target::Theirs, Target::Absent] } else { &[Target::None] };
        for target in targets {
            if *target != Target::None {
                cast.recast(&client, Who::Owner).await;
            }
            let mut thing = None;
            for who in EVERYBODY {
                if method.policy.service == "auth" {
                    cast.recast(&client, who).await;
                    thing = None;
                }
                let reply = call(&client, &cast, &method, route, who, *target, &mut thing).await;
                // What refused callers and readers named is as it was.
                if reply.status < 300 && route.verb != reqwest::Method::GET {
                    thing = None;
                }
                cells += 1;
                let verdict = verdict(&method, who, *target);
                if !verdict.holds(&reply) {
                    wrong.push(format!("{} by {who:?} on {target:?}: not {verdict:?}\n{reply:?}", method.policy.path));
                }
            }
        }
    }
    println!("{cells} cells");
    assert!(wrong.is_empty(), "{} of {cells} cells are wrong\n{}", wrong.len(), wrong.join("\n\n"));
}

/// Profiles come by event, a moment after the accounts.
async fn settled(client: &Client, cast: &Cast) {
    for person in [&cast.owner, &cast.other, &cast.admin] {
        eventually(SOON, async || client.get("/v1/users/me").bearer(&person.access).send().await.status == 200).await;
    }
}

async fn call(
    client: &Client,
    cast: &Cast,
    method: &Method,
    route: &Route,
    who: Who,
    target: Target,
    thing: &mut Option<String>,
) -> Reply {
    let path = match route.variable() {
        None => route.path(""),
        Some(variable) => {
            if method.policy.service == "user" {
                settled(client, cast).await;
            }
            let id = match thing.take() {
                Some(made) => made,
                None if target == Target::Absent => absent(method, variable),
                None => cast.peer.thing(client, name(method), variable, &cast.owner, &cast.admin).await,
            };
            route.path(thing.insert(id))
        }
    };
    if OF_CARTS.contains(&name(method))
        && let Some(person) = cast.person(who)
    {
        cast.peer.add_to_cart(client, person).await;
    }
    let mut request = client.request(route.verb.clone(), path);
    match route.raw.as_deref() {
        Some("file") => request = request.header("content-type", "image/png").raw(picture(9)),
        Some(_) => request = request.json(json!({"decision": "approve"})),
        None if route.has_body => {
            let named = cast.peer.named(client, name(method)).await;
            let special = &mut |field: &FieldDescriptor| {
                named.iter().find(|(name, _)| *name == field.name()).map(|(_, value)| value.clone())
            };
            request = request.json(body(&method.input, route, special));
        }
        None => {}
    }
    if method.policy.request_id == RequestId::Required {
        request = request.key(key());
    }
    if let Some(token) = cast.token(who) {
        request = request.bearer(token);
    }
    // A stream may be quiet for long: its head tells.
    if method.streams() { request.open().await.head } else { request.send().await }
}

/// gRPC-Web on the same port: the same answers, and internal methods answer nobody.
async fn the_grpc_door_is_guarded_alike(topology: Topology) {
    const UNAUTHENTICATED: i32 = 16;
    let (market, expired) = market_with_an_expired_token(topology).await;
    let client = market.client();
    let cast = Cast::new(&client, &expired).await;
    let mut wrong = Vec::new();
    for method in methods() {
        for who in EVERYBODY {
            let status = grpc_web(&client, &method.policy.path, cast.token(who)).await;
            let internal = method.policy.access == Access::Internal;
            let expected: &[i32] = match who {
                // NOT_FOUND or UNIMPLEMENTED: the edge does not even know it.
                _ if internal => &[5, 7, 12, UNAUTHENTICATED],
                Who::Expired | Who::Forged => &[UNAUTHENTICATED],
                Who::Anonymous if method.policy.access != Access::Public => &[UNAUTHENTICATED],
                _ => continue,
            };
            if !expected.contains(&status) {
                wrong.push(format!("{} by {who:?}: grpc-status {status}, not {expected:?}", method.policy.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The `grpc-status` of a call with an empty message.
async fn grpc_web(client: &Client, path: &str, token: Option<String>) -> i32 {
    let mut request = client.request(reqwest::Method::POST, path).raw("\0\0\0\0\0");
    request = request.header("content-type", "application/grpc-web+proto").header("x-grpc-web", "1");
    if let Some(token) = token {
        request = request.bearer(token);
    }
    let reply = request.send().await;
    let in_body = reply.text.split("grpc-status:").nth(1).map(|rest| rest.trim_start());
    let status = reply.header("grpc-status").or(in_body).unwrap_or_else(|| panic!("no grpc-status\n{reply:?}"));
    let digits: String = status.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no grpc-status\n{reply:?}"))
}
