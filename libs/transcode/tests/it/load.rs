//! What is refused at load.
use crate::pool_of;
use transcode::{Api, Options};

/// Loads a service of one method with this rule.
fn load(rule: &str) -> Result<Api, String> {
    load_all(&[rule])
}

fn load_all(rules: &[&str]) -> Result<Api, String> {
    let methods: String = rules
        .iter()
        .enumerate()
        .map(|(i, rule)| {
            format!("rpc M{i}(Request) returns (Request) {{ option (google.api.http) = {{ {rule} }}; }}\n")
        })
        .collect();
    let source = format!(
        r#"syntax = "proto3";
package load.v1;
import "google/api/annotations.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
message Request {{
  message Inner {{ string id = 1; Request up = 2; oneof o {{ string x = 3; string y = 4; }} }}
  string name = 1;
  Inner inner = 2;
  repeated string tags = 3;
  map<string, string> labels = 4;
  google.protobuf.Timestamp time = 5;
  google.protobuf.Struct struct = 6;
  int32 camelName = 7;
  string snake_name = 8;
}}
service S {{ {methods} }}"#
    );
    Api::load(&pool_of(&source), &["load.v1.S"], Options::default()).map_err(|e| e.to_string())
}

#[test]
fn good_rules_load() {
    for rule in [
        r#"get: "/v1/{name}""#,
        r#"get: "/v1/{inner.id}/{inner.up.inner.id=a/*/**}:go""#,
        r#"get: "/v1/{time}""#,
        r#"post: "/v1/{inner.id}" body: "inner""#,
        r#"delete: "/v1/{name}" body: "*""#,
        r#"custom: {kind: "*" path: "/v1"} response_body: "tags""#,
        r#"custom: {kind: "HEAD" path: "/v1"}"#,
        r#"get: "/""#,
        r#"get: "/a" additional_bindings { post: "/a" body: "*" } additional_bindings { get: "/b" }"#,
    ] {
        assert!(load(rule).is_ok(), "{rule}: {:?}", load(rule).err());
    }
}

#[test]
fn bad_rules_are_refused_with_the_method() {
    for (rule, why) in [
        (r#"body: "*""#, "without a path"),
        (r#"get: "v1""#, "slash"),
        (r#"get: "/v1/{name""#, "brace"),
        (r#"get: "/v1/{nope}""#, "no field"),
        (r#"get: "/v1/{inner.nope}""#, "no field"),
        (r#"get: "/v1/{name.id}""#, "has no fields"),
        (r#"get: "/v1/{inner}""#, "not a scalar"),
        (r#"get: "/v1/{struct}""#, "not a scalar"),
        (r#"get: "/v1/{struct.fields}""#, "has no fields"),
        (r#"get: "/v1/{tags}""#, "repeated"),
        (r#"get: "/v1/{labels}""#, "repeated"),
        (r#"get: "/v1/{snakeName}""#, "no field"),
        (r#"get: "/v1/{name}/{name}""#, "twice"),
        (r#"get: "/v1/{inner.x}/{inner.y}""#, "excludes"),
        (r#"post: "/v1" body: "nope""#, "no field"),
        (r#"post: "/v1" body: "inner.id""#, "no field"),
        (r#"post: "/v1" body: "snakeName""#, "no field"),
        (r#"post: "/v1/{name}" body: "name""#, "both"),
        (r#"post: "/v1/{time}" body: "time""#, "both"),
        (r#"get: "/v1" body: "*""#, "takes no body"),
        (r#"get: "/v1" response_body: "nope""#, "no field"),
        (r#"get: "/v1" selector: "x""#, "selector"),
        (r#"custom: {kind: "" path: "/v1"}"#, "no HTTP method"),
        (r#"custom: {kind: "A B" path: "/v1"}"#, "no HTTP method"),
        (r#"get: "/v1" additional_bindings { get: "/v2" additional_bindings { get: "/v3" } }"#, "additional_bindings"),
        (r#"get: "/v1" additional_bindings { get: "/v1" }"#, "already"),
    ] {
        let error = load(rule).expect_err(rule);
        assert!(error.starts_with("load.v1.S.M0: ") && error.contains(why), "{rule}: {error}");
    }
}

#[test]
fn one_route_has_one_method() {
    let error = load_all(&[r#"get: "/v1/{name}/x""#, r#"get: "/v1/{snake_name=*}/x""#]).unwrap_err();
    assert!(error.starts_with("load.v1.S.M1: ") && error.contains("load.v1.S.M0"), "{error}");
    assert!(load_all(&[r#"get: "/v1/{name}/x""#, r#"post: "/v1/{name}/x""#, r#"get: "/v1/a/{name}""#]).is_ok());
}

#[test]
fn services_must_be_there_once() {
    let pool = crate::pool();
    let error = Api::load(pool, &["no.Such"], Options::default()).unwrap_err();
    assert_eq!((error.method.as_str(), error.reason.as_str()), ("no.Such", "no such service in the descriptors"));
    let twice = ["transcode.test.v1.Library", "transcode.test.v1.Library"];
    assert!(Api::load(pool, &twice, Options::default()).is_err());
}
