//! Routes and bindings of the test library.

use std::borrow::Cow;

use proptest::prelude::*;
use transcode::{Api, Body, BodyType, Error, HttpBody, Kind, Options, Place, RouteError};

use crate::{library, library_with};

/// The request of a call as JSON.
fn call_on(api: &Api, verb: &str, target: &str, body: &str, extras: &[(&str, &str)]) -> Result<String, Error> {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    let found = api.route(verb, path).unwrap_or_else(|error| panic!("{verb} {target}: {error}"));
    let wire = found.request(query, body.as_bytes(), extras)?;
    let mut out = Vec::new();
    api.types().wire_to_json(found.method().input(), &wire, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[track_caller]
fn call(verb: &str, target: &str, body: &str) -> String {
    call_on(library(), verb, target, body, &[]).unwrap()
}

#[track_caller]
fn refused(verb: &str, target: &str, body: &str, kind: Kind, place: Place, path: &str) {
    let error = call_on(library(), verb, target, body, &[]).expect_err(target);
    assert_eq!((error.kind(), error.place(), error.path()), (kind, place, path), "{verb} {target}: {error:?}");
}

fn routed(verb: &str, path: &str) -> String {
    match library().route(verb, path) {
        Ok(found) => {
            let captures: Vec<String> = found.captures().map(|(k, v)| format!(" {k}={v}")).collect();
            format!("{}{}", found.method().name(), captures.concat())
        }
        Err(RouteError::MethodNotAllowed { allow }) => format!("405 {}", allow.join(", ")),
        Err(RouteError::NotFound) => "404".to_owned(),
        Err(RouteError::BadPath(error)) => format!("400 {}", error.path()),
    }
}

#[test]
fn requests_find_their_method() {
    for (verb, path, want) in [
        ("GET", "/v1/shelves/1/books/2", "GetBook name=shelves/1/books/2"),
        ("GET", "/v1/books/x", "GetBook name=x"),
        ("GET", "/v1/books/a%2Fb%20c", "GetBook name=a/b c"),
        ("GET", "/v1/shelves/a%2Fb%20c/books/2", "GetBook name=shelves/a%2Fb c/books/2"),
        ("GET", "/v1/files/a/b%2fc/d", "GetBook name=a/b%2fc/d"),
        ("GET", "/v1/files", "GetBook name="),
        ("GET", "/v1/books", "ListBooks"),
        ("TAG", "/v1/books", "TagBook"),
        ("DELETE", "/v1/books/x", "DeleteBook name=x"),
        ("PATCH", "/v1/books/x", "UpdateBook book.name=x"),
        ("POST", "/v1/books/x:lend", "LendBook name=x"),
        ("POST", "/v1/books/x%3Alend", "405 DELETE, GET, PATCH, PUT"),
        ("GET", "/v1/books/x:other", "GetBook name=x:other"),
        ("GET", "/v1/books/x:lend", "405 POST"),
        ("GET", "/v1/books/x%3Alend", "GetBook name=x:lend"),
        ("PUT", "/v1/books", "405 GET, TAG"),
        ("get", "/v1/books", "405 GET, TAG"),
        ("GET", "/v1/books/", "404"),
        ("GET", "/v1/nope", "404"),
        ("GET", "/", "404"),
        ("GET", "", "404"),
        ("GET", "//v1/books", "404"),
        ("GET", "/v1/books/%", "400 name"),
        ("GET", "/v1/books/%zz", "400 name"),
        ("GET", "/v1/books/%ff", "400 name"),
        ("PATCH", "/v1/books/%ff", "400 book.name"),
        ("GET", "/v1/%62ooks", "404"),
    ] {
        assert_eq!(routed(verb, path), want, "{verb} {path}");
    }
    assert_eq!(library().allow("/v1/books"), ["GET", "TAG"]);
    assert!(library().allow("/nope").is_empty());
}

#[test]
fn methods_are_found_by_grpc_path() {
    let method = library().method("/transcode.test.v1.Library/Chat").unwrap();
    assert_eq!((method.service(), method.name()), ("transcode.test.v1.Library", "Chat"));
    assert_eq!(method.full_name(), "transcode.test.v1.Library.Chat");
    assert!(method.client_streaming() && method.server_streaming());
    let mut wire = Vec::new();
    method.request(br#"{"name":"x"}"#, &mut wire).unwrap();
    assert_eq!(wire, b"\x0a\x01x");
    let mut json = Vec::new();
    method.response(b"\x0a\x01x", &mut json).unwrap();
    assert_eq!(json, br#"{"name":"x"}"#);
    assert!(library().method("/transcode.test.v1.Library/Nope").is_none());
    let upload = library().method("/transcode.test.v1.Library/Upload").unwrap();
    assert!(!upload.client_streaming() && upload.server_streaming());
    assert_eq!(library().methods().len(), 12);
    assert_eq!(library().bindings().len(), 13);
}

#[test]
fn query_parameters_fill_fields() {
    for (query, want) in [
        ("", "{}"),
        ("&&", "{}"),
        ("pageSize=7", r#"{"pageSize":7}"#),
        ("page_size=7&", r#"{"pageSize":7}"#),
        ("page_size=0", "{}"),
        ("page%5Fsize=7", r#"{"pageSize":7}"#),
        ("pageToken=a+b%2Bc%26d=e", r#"{"pageToken":"a b+c&d=e"}"#),
        ("pageToken=", "{}"),
        ("pageToken", "{}"),
        ("tags=a&tags=b&tags=", r#"{"tags":["a","b",""]}"#),
        ("tags=a&pageSize=1&tags=b", r#"{"pageSize":1,"tags":["a","b"]}"#),
        ("years=1999&years=2000&years=0", r#"{"years":[1999,2000,0]}"#),
        (
            "filter.title=x&filter.at_most.units=5&filter.atMost.currencyCode=KRW",
            r#"{"filter":{"title":"x","atMost":{"units":"5","currencyCode":"KRW"}}}"#,
        ),
        ("filter.other.other.title=x", r#"{"filter":{"other":{"other":{"title":"x"}}}}"#),
        ("filter.before=2026-01-01T00:00:00Z", r#"{"filter":{"before":"2026-01-01T00:00:00Z"}}"#),
        ("filter.within=1.5s", r#"{"filter":{"within":"1.500s"}}"#),
        (
            "filter.genres=GENRE_LAW&filter.genres=1&filter.genres=9",
            r#"{"filter":{"genres":["GENRE_LAW","GENRE_POETRY",9]}}"#,
        ),
        ("lent=true", r#"{"lent":true}"#),
        ("lent=false", r#"{"lent":false}"#),
        ("readMask=title,price.currencyCode", r#"{"readMask":"title,price.currencyCode"}"#),
        ("read_mask=title,price.currency_code", r#"{"readMask":"title,price.currencyCode"}"#),
        ("read_mask=", r#"{"readMask":""}"#),
        ("cursor=-_-_", r#"{"cursor":"+/+/"}"#),
        ("counts[a]=1&counts%5Bb%5D=2", r#"{"counts":{"a":1,"b":2}}"#),
        ("fast=false", r#"{"fast":false}"#),
        ("rating=4.5", r#"{"rating":4.5}"#),
        ("rating=NaN", r#"{"rating":"NaN"}"#),
        ("rating=1e3", r#"{"rating":1000}"#),
        ("one=", r#"{"one":""}"#),
        ("pageToken=%EA%B0%80", r#"{"pageToken":"가"}"#),
        ("pageSize=1e1", r#"{"pageSize":10}"#),
    ] {
        assert_eq!(call("GET", &format!("/v1/books?{query}"), ""), want, "{query}");
    }
}

#[test]
fn bad_query_parameters_are_named() {
    use Kind::{Conflict, Duplicate, Format, Oneof, Range, Syntax, UnknownEnum, UnknownField, Utf8, WrongType};
    for (query, kind, name) in [
        ("nope=1", UnknownField, "nope"),
        ("=1", UnknownField, ""),
        ("filter.nope=1", UnknownField, "filter.nope"),
        ("filter.=1", UnknownField, "filter."),
        ("pageSize.x=1", UnknownField, "pageSize.x"),
        ("lent.value=true", UnknownField, "lent.value"),
        ("filter.nor.units=1", UnknownField, "filter.nor.units"),
        ("PAGESIZE=1", UnknownField, "PAGESIZE"),
        ("pageSize=x", Format, "pageSize"),
        ("pageSize=", Format, "pageSize"),
        ("pageSize=%201", Format, "pageSize"),
        ("pageSize=1.5", WrongType, "pageSize"),
        ("pageSize=2147483648", Range, "pageSize"),
        ("pageSize=1&page_size=1", Duplicate, "page_size"),
        ("filter.title=a&filter.title=b", Duplicate, "filter.title"),
        ("counts[a]=1&counts[a]=2", Duplicate, "counts[a]"),
        ("counts[a]=x", Format, "counts[a]"),
        ("counts=1", WrongType, "counts"),
        ("tags[0]=a", WrongType, "tags[0]"),
        ("filter=x", WrongType, "filter"),
        ("filter.nor=x", WrongType, "filter.nor"),
        ("fast=1", Format, "fast"),
        ("fast=True", Format, "fast"),
        ("lent=yes", Format, "lent"),
        ("filter.genres=LAW", UnknownEnum, "filter.genres"),
        ("filter.genres=", UnknownEnum, "filter.genres"),
        ("filter.before=yesterday", Format, "filter.before"),
        ("filter.within=5", Format, "filter.within"),
        ("filter.within=5s&filter.before=2026-01-01T00:00:00Z", Oneof, "filter.before"),
        ("one=a&other=b", Oneof, "other"),
        ("cursor=*", Format, "cursor"),
        ("readMask=a b", Format, "readMask"),
        ("pageToken=%", Syntax, "pageToken"),
        ("pageToken=%ff", Utf8, "pageToken"),
        ("%ff=1", Utf8, "%ff"),
        ("%zz=1", Syntax, "%zz"),
    ] {
        refused("GET", &format!("/v1/books?{query}"), "", kind, Place::Query, name);
    }
    refused("GET", "/v1/books/x?name=y", "", Conflict, Place::Query, "name");
    assert_eq!(call("GET", "/v1/books/x?name=x", ""), r#"{"name":"x"}"#);
    refused("GET", "/v1/search/7?desk=3", "", Conflict, Place::Query, "desk");
    refused("PATCH", "/v1/books/x?book.title=y", "", UnknownField, Place::Query, "book.title");
    refused("PUT", "/v1/books/x?requestId=y", "{}", UnknownField, Place::Query, "requestId");
    let lenient = library_with(Options { ignore_unknown: true, ..Options::default() });
    assert_eq!(call_on(&lenient, "GET", "/v1/books?nope=1&pageSize=2", "", &[]).unwrap(), r#"{"pageSize":2}"#);
    assert_eq!(call_on(&lenient, "GET", "/v1/books", "{}", &[]).unwrap(), "{}");
}

#[test]
fn bodies_fill_fields() {
    assert_eq!(
        call("POST", "/v1/shelves/1/books?requestId=r&validate_only=true", r#"{"title":"t","price":{"units":"5"}}"#),
        r#"{"book":{"title":"t","price":{"units":"5"}},"parent":"shelves/1","requestId":"r","validateOnly":true}"#
    );
    assert_eq!(call("POST", "/v1/shelves/1/books", ""), r#"{"parent":"shelves/1"}"#);
    assert_eq!(call("POST", "/v1/shelves/1/books", "null"), r#"{"parent":"shelves/1"}"#);
    assert_eq!(call("POST", "/v1/shelves/1/books", " {} "), r#"{"book":{},"parent":"shelves/1"}"#);
    assert_eq!(call("TAG", "/v1/books?pageSize=1", r#"["a","b"]"#), r#"{"tags":["a","b"],"pageSize":1}"#.to_owned());
    assert_eq!(
        call("PUT", "/v1/books/x", r#"{"requestId":"r","book":{"title":"t"}}"#),
        r#"{"book":{"title":"t","name":"x"},"requestId":"r"}"#
    );
    assert_eq!(call("PUT", "/v1/books/x", ""), r#"{"book":{"name":"x"}}"#);
    assert_eq!(call("GET", "/v1/books/x", "  "), r#"{"name":"x"}"#);
    refused("GET", "/v1/books/x", "{}", Kind::UnknownField, Place::Body, "");
    refused("POST", "/v1/shelves/1/books", r#"{"nope":1}"#, Kind::UnknownField, Place::Body, "nope");
    refused("POST", "/v1/shelves/1/books", r#"{"title":"t"}x"#, Kind::Syntax, Place::Body, "");
    refused("POST", "/v1/shelves/1/books", r#"{"price":{"units":"x"}}"#, Kind::Format, Place::Body, "price.units");
    refused("POST", "/v1/shelves/1/books", "[]", Kind::WrongType, Place::Body, "");
    refused("TAG", "/v1/books", r#"["a",1]"#, Kind::WrongType, Place::Body, "[1]");
    refused("TAG", "/v1/books?tags=x", "[]", Kind::UnknownField, Place::Query, "tags");
}

#[test]
fn the_path_has_the_last_word() {
    assert_eq!(
        call("PUT", "/v1/books/x", r#"{"book":{"name":"x","title":"t"}}"#),
        r#"{"book":{"name":"x","title":"t"}}"#
    );
    refused("PUT", "/v1/books/x", r#"{"book":{"name":"y"}}"#, Kind::Conflict, Place::Body, "book.name");
    refused("PATCH", "/v1/books/x", r#"{"name":"y"}"#, Kind::Conflict, Place::Body, "name");
    refused("PATCH", "/v1/books/x", r#"{"n\u0061me":"y"}"#, Kind::Conflict, Place::Body, "name");
    assert_eq!(call("PATCH", "/v1/books/x", r#"{"name":"x"}"#), r#"{"book":{"name":"x"}}"#);
    // The default of a field without presence cannot be told from its absence.
    assert_eq!(call("PUT", "/v1/books/x", r#"{"book":{"name":""}}"#), r#"{"book":{"name":"x"}}"#);
    refused("POST", "/v1/books/x:lend", r#"{"name":"y","card":"c"}"#, Kind::Conflict, Place::Body, "name");
    assert_eq!(call("POST", "/v1/books/x:lend", r#"{"name":"x","card":"c"}"#), r#"{"name":"x","card":"c"}"#);
}

#[test]
fn extra_fields_are_filled_where_empty() {
    let with = |target: &str, body: &str| {
        call_on(library(), "POST", target, body, &[("request_id", "k"), ("nope", "z"), ("validate_only", "true")])
    };
    assert_eq!(with("/v1/shelves/1/books", "{}").unwrap(), r#"{"book":{},"parent":"shelves/1","requestId":"k"}"#);
    assert_eq!(
        with("/v1/shelves/1/books?request_id=mine", "").unwrap(),
        r#"{"parent":"shelves/1","requestId":"mine"}"#
    );
    let filled = call_on(library(), "PUT", "/v1/books/x", r#"{"requestId":"mine"}"#, &[("request_id", "k")]).unwrap();
    assert_eq!(filled, r#"{"requestId":"mine","book":{"name":"x"}}"#);
    let filled = call_on(library(), "PUT", "/v1/books/x", r#"{"requestId":""}"#, &[("request_id", "k")]).unwrap();
    assert_eq!(filled, r#"{"book":{"name":"x"},"requestId":"k"}"#);
    let found = library().route("PUT", "/v1/books/x").unwrap();
    assert!(found.binding().has_string_field("request_id"));
    assert!(!found.binding().has_string_field("requestId") && !found.binding().has_string_field("book"));
}

#[test]
fn a_patch_fills_its_mask() {
    for (target, body, want) in [
        ("/v1/books/x", r#"{"title":"t","price":{"units":"1"}}"#, r#""updateMask":"title,price""#),
        ("/v1/books/x", r#"{"title":null,"create_time":null}"#, r#""updateMask":"title,createTime""#),
        ("/v1/books/x", r#"{"name":"x","tags":[]}"#, r#""updateMask":"tags""#),
        ("/v1/books/x?updateMask=genre", r#"{"title":"t"}"#, r#""updateMask":"genre""#),
        ("/v1/books/x?update_mask=", r#"{"title":"t"}"#, r#""updateMask":"""#),
    ] {
        let json = call("PATCH", target, body);
        assert!(json.contains(want), "{target} {body}: {json}");
    }
    for body in ["", "{}", "null", r#"{"name":"x"}"#] {
        assert!(!call("PATCH", "/v1/books/x", body).contains("updateMask"), "{body}");
    }
    let off = library_with(Options { fill_update_mask: false, ..Options::default() });
    assert!(!call_on(&off, "PATCH", "/v1/books/x", r#"{"title":"t"}"#, &[]).unwrap().contains("updateMask"));
}

#[test]
fn requests_are_appended() {
    let found = library().route("GET", "/v1/books/x").unwrap();
    let mut out = vec![0; 5];
    found.request_into(None, b"", &[], &mut out).unwrap();
    assert_eq!(out, [0, 0, 0, 0, 0, 0x0a, 1, b'x']);
    found.request_into(Some("nope=1"), b"", &[], &mut out).unwrap_err();
    assert_eq!(out.len(), 8);
}

fn response(verb: &str, path: &str, wire: &[u8]) -> Result<String, Error> {
    let mut out = Vec::new();
    library().route(verb, path).unwrap().response(wire, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn responses_may_be_one_field() {
    assert_eq!(response("GET", "/v1/books/x", b"\x0a\x01x").unwrap(), r#"{"name":"x"}"#);
    assert_eq!(
        response("GET", "/v1/books", b"\x0a\x03\x0a\x01a\x12\x01t\x0a\x03\x0a\x01b").unwrap(),
        r#"[{"name":"a"},{"name":"b"}]"#
    );
    assert_eq!(response("GET", "/v1/books", b"").unwrap(), "[]");
    assert_eq!(response("POST", "/v1/books/x:lend", b"\x0a\x02\x08\x00").unwrap(), r#""1970-01-01T00:00:00Z""#);
    assert_eq!(response("POST", "/v1/books/x:lend", b"").unwrap(), "null");
    assert_eq!(response("GET", "/v1/search/7", b"\x12\x01x").unwrap(), r#""x""#);
    assert_eq!(response("GET", "/v1/search/7", b"").unwrap(), r#""""#);
    let error = response("GET", "/v1/books", b"\x0a\x03\x0a\x05a").unwrap_err();
    assert_eq!((error.kind(), error.place()), (Kind::Wire, Place::Response));
}

#[test]
fn http_bodies_go_through() {
    let echo = library().route("POST", "/v1/echo").unwrap();
    assert!(echo.binding().takes_http_body() && echo.binding().returns_http_body());
    let wire = echo.request_http_body(None, "text/plain", b"hi", &[]).unwrap();
    assert_eq!(wire, b"\x0a\x0atext/plain\x12\x02hi");
    let upload = library().route("POST", "/v1/uploads/n").unwrap();
    assert!(upload.binding().takes_http_body() && upload.binding().returns_http_body());
    let wire = upload.request_http_body(None, "a/b", b"hi", &[]).unwrap();
    assert_eq!(wire, b"\x12\x09\x0a\x03a/b\x12\x02hi\x0a\x01n");
    let body = upload.binding().response_http_body(b"\x0a\x03a/b\x12\x02hi").unwrap();
    assert_eq!(body, HttpBody { content_type: Cow::Borrowed("a/b"), data: Cow::Borrowed(b"hi"), extensions: vec![] });
    let body = echo.binding().response_http_body(b"\x12\x05\x0a\x03a/b\x0a\x01n\x12\x04\x12\x02hi").unwrap();
    assert_eq!(body, HttpBody { content_type: Cow::Borrowed("a/b"), data: Cow::Borrowed(b"hi"), extensions: vec![] });
    assert_eq!(echo.binding().response_http_body(b"").unwrap().data, &b""[..]);
    assert!(upload.binding().response_http_body(b"\x0a\x01\xff").is_err());
    let put = library().route("PUT", "/v1/books/x").unwrap();
    assert!(!put.binding().takes_http_body() && !put.binding().returns_http_body());
    assert_eq!(put.request_http_body(None, "a/b", b"", &[]).unwrap_err().kind(), Kind::WrongType);
}

#[test]
fn bindings_describe_themselves() {
    let create = library().route("POST", "/v1/shelves/1/books").unwrap().binding().clone();
    assert_eq!((create.verb(), create.template().to_string().as_str()), ("POST", "/v1/{parent=shelves/*}/books"));
    assert_eq!(create.body(), &Body::Field("book".to_owned()));
    assert!(matches!(create.body_descriptor(), Some(BodyType::Field(f)) if f.name() == "book"));
    assert!(matches!(create.response_descriptor(), BodyType::Message(m) if m.name() == "Book"));
    let variable = &create.variables()[0];
    assert_eq!((variable.path.as_str(), variable.pattern.as_str(), variable.multi), ("parent", "shelves/*", true));
    assert_eq!(variable.field.name(), "parent");
    let names =
        |binding: &transcode::Binding| binding.query_parameters().into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(names(&create), ["requestId", "validateOnly"]);
    let list = library().route("GET", "/v1/books").unwrap().binding().clone();
    assert_eq!(list.response_body(), Some("books"));
    assert!(matches!(list.response_descriptor(), BodyType::Field(f) if f.name() == "books"));
    assert!(list.body_descriptor().is_none());
    assert_eq!(
        names(&list),
        [
            "pageSize",
            "pageToken",
            "filter.title",
            "filter.atMost.currencyCode",
            "filter.atMost.units",
            "filter.atMost.nanos",
            "filter.before",
            "filter.within",
            "filter.genres",
            "filter.never.currencyCode",
            "filter.never.units",
            "filter.never.nanos",
            "tags",
            "years",
            "lent",
            "readMask",
            "cursor",
            "counts",
            "fast",
            "rating",
            "one",
            "other",
        ]
    );
    let put = library().route("PUT", "/v1/books/x").unwrap().binding().clone();
    assert!(names(&put).is_empty() && put.body() == &Body::All);
    assert_eq!(create.json_path("book.price.currency_code"), "price.currencyCode");
    assert_eq!(create.json_path("book.offers[2].currency_code"), "offers[2].currencyCode");
    assert_eq!(create.json_path("book"), "");
    assert_eq!(create.json_path("request_id"), "requestId");
    assert_eq!(put.json_path("book.create_time"), "book.createTime");
}

fn encode(text: &str, keep: fn(u8) -> bool) -> String {
    text.bytes().map(|b| if keep(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a client escapes comes out as it was.
    #[test]
    fn escaped_variables_come_back(value in "\\PC{1,20}") {
        let path = format!("/v1/books/{}", encode(&value, |b| b.is_ascii_alphanumeric()));
        let found = library().route("GET", &path).unwrap();
        prop_assert_eq!(found.captures().collect::<Vec<_>>(), [("name", value.as_str())]);
        let request = call("GET", &path, "");
        let json: serde_json::Value = serde_json::from_str(&request).unwrap();
        prop_assert_eq!(json["name"].as_str().unwrap(), value);
    }

    #[test]
    fn segments_stay_segments(parts in prop::collection::vec("[a-z/%:é]{1,6}", 1..6)) {
        let path: Vec<String> = parts.iter().map(|p| encode(p, |b| b.is_ascii_alphanumeric())).collect();
        let path = format!("/v1/files/{}", path.join("/"));
        let found = library().route("GET", &path).unwrap();
        let want: Vec<String> = parts.iter().map(|p| p.replace('/', "%2F")).collect();
        let got = found.captures().next().unwrap().1.to_owned();
        prop_assert_eq!(got, want.join("/"));
    }

    #[test]
    fn any_path_and_query_never_panic(verb in "GET|POST|PATCH|X", path in "/?(v1|books|shelves|files|[a-z:%*{}/.]|%2F|é){0,12}", query in "(pageSize|tags|filter|title|counts|[a-z=&.%\\[\\]+é0-9]){0,15}", body in "[{}\\[\\]\":,a-z0-9]{0,20}") {
        if let Ok(found) = library().route(&verb, &path) {
            let _ = found.request(Some(&query), body.as_bytes(), &[("request_id", "x")]);
        }
        let list = library().route("GET", "/v1/books").unwrap();
        let _ = list.request(Some(&query), b"", &[]);
    }

    #[test]
    fn query_values_come_back(size in any::<i32>(), token in "\\PC{0,12}", tags in prop::collection::vec("\\PC{0,8}", 0..5), quarters in any::<i32>(), fast in any::<bool>()) {
        let rating = f64::from(quarters) / 4.0;
        let form = |text: &str| encode(text, |b| b.is_ascii_alphanumeric()).replace("%20", "+");
        let tags_query: String = tags.iter().map(|t| format!("&tags={}", form(t))).collect();
        let query = format!("page_size={size}&pageToken={}{tags_query}&rating={rating}&fast={fast}", form(&token));
        let json: serde_json::Value = serde_json::from_str(&call("GET", &format!("/v1/books?{query}"), "")).unwrap();
        prop_assert_eq!(json["pageSize"].as_i64().unwrap_or(0), i64::from(size));
        prop_assert_eq!(json["pageToken"].as_str().unwrap_or(""), token);
        prop_assert_eq!(json["rating"].as_f64().unwrap_or(0.0), rating);
        prop_assert_eq!(json["fast"].as_bool(), Some(fast));
        let got: Vec<&str> = json["tags"].as_array().map(|t| t.iter().map(|v| v.as_str().unwrap()).collect()).unwrap_or_default();
        prop_assert_eq!(got, tags);
    }

    /// No request says other than its path, whatever body and query say.
    #[test]
    fn the_path_cannot_be_overridden(name in "[a-z]{1,3}", other in "[a-z]{0,3}", in_query in any::<bool>(), title in "[a-z]{0,3}") {
        let (target, body) = if in_query {
            (format!("/v1/books/{name}?name={other}"), String::new())
        } else {
            (format!("/v1/books/{name}"), format!(r#"{{"book":{{"title":"{title}","name":"{other}"}}}}"#))
        };
        let verb = if in_query { "GET" } else { "PUT" };
        if let Ok(json) = call_on(library(), verb, &target, &body, &[]) {
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            let got = if in_query { &json["name"] } else { &json["book"]["name"] };
            prop_assert_eq!(got.as_str(), Some(name.as_str()));
        } else {
            prop_assert_ne!(name, other);
        }
    }
}
