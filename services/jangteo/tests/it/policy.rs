//! Who may call what on whose things, for every method that the descriptors know: what is declared
//! there is what the market does, and nothing else.

use serde_json::json;
use testkit::{Client, Market, Reply, Topology, eventually, jwt};

use crate::{
    descriptors::{Method, Route, body, creator, methods},
    everywhere,
    world::{ADMIN, Person, SOON, join, join_as, login, setup},
};
use proto::policy::Access;

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

/// Signed-in methods that are meant for other people's things: a like is the liker's own.
const FOR_OTHERS: [&str; 2] = ["LikeProduct", "UnlikeProduct"];

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
        (_, Target::Absent) => Verdict::Absent,
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
    /// Issued by this very market, and too old.
    expired: String,
}

impl Cast {
    async fn new(client: &Client, expired: &str) -> Cast {
        let (owner, other) = (join(client).await, join(client).await);
        Cast { owner, other, admin: administrator(client).await, expired: expired.to_owned() }
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
            Who::Anonymous => None,
            Who::Owner => Some(self.owner.access.clone()),
            Who::Other => Some(self.other.access.clone()),
            Who::Admin => Some(self.admin.access.clone()),
            Who::Expired => Some(self.expired.clone()),
            Who::Forged => Some(jwt::forgeries(&self.owner.access).swap_remove(0).1),
        }
    }

    /// The id of something of the owner's, newly made.
    async fn thing(&self, client: &Client, variable: &str) -> String {
        match variable {
            "user_id" => self.owner.user_id.clone(),
            "session_id" => login(client, &self.owner.email).await.session_id,
            _ => {
                let method = creator(variable);
                let route = method.route.as_ref().expect("a creator has a route");
                let request = client.post(route.path(""), body(&method.input, route, &mut |_| None));
                let made = request.bearer(&self.owner.access).send().await.expect(200);
                let field = method.output.get_field_by_name(variable).expect("a creator gives the id");
                made.str(field.json_name()).to_owned()
            }
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

/// An id of the right shape that nothing has.
fn absent(variable: &str, like: &str) -> String {
    let (prefix, rest) = like.split_once('_').unwrap_or_else(|| panic!("{variable}: {like} is no id"));
    format!("{prefix}_{}", "0".repeat(rest.len()))
}

/// A market, and a token of its own that has expired.
async fn market_with_an_expired_token(topology: Topology) -> (Market, String) {
    let mut market = setup(topology).env("JANGTEO_AUTH__ACCESS_TTL", "1").start().await;
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
            for who in EVERYBODY {
                if method.policy.service == "auth" {
                    cast.recast(&client, who).await;
                }
                let reply = call(&client, &cast, &method, route, who, *target).await;
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

async fn call(client: &Client, cast: &Cast, method: &Method, route: &Route, who: Who, target: Target) -> Reply {
    let path = match route.variable() {
        None => route.path(""),
        Some(variable) => {
            if method.policy.service == "user" {
                settled(client, cast).await;
            }
            let id = cast.thing(client, variable).await;
            route.path(&if target == Target::Absent { absent(variable, &id) } else { id })
        }
    };
    let mut request = client.request(route.verb.clone(), path);
    if route.has_body {
        request = request.json(body(&method.input, route, &mut |_| None));
    }
    if let Some(token) = cast.token(who) {
        request = request.bearer(token);
    }
    request.send().await
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
