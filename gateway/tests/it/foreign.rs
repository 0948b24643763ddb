//! Descriptors that know nothing of us, and those that can't be served.

use crate::{
    library::{Library, SERVICE},
    world::{World, json_of, pool, refusal},
};
use gateway::{Site, Upstreams};
use prost_reflect::DescriptorPool;
use serde_json::json;
use std::path::Path;

fn compiled(file: &str) -> DescriptorPool {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([here.join("tests/proto"), here.join("../proto")]).unwrap();
    compiler.include_imports(true).open_file(file).unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

fn site(pool: &DescriptorPool, service: &str) -> jangteo_core::Result<Site> {
    let upstreams = Upstreams::from([(service.to_owned(), proto::Channel::new(Library::default()))]);
    Site::load(pool, &upstreams, transcode::Options::default())
}

#[tokio::test]
async fn methods_without_a_policy_are_public_when_they_are_not_ours() {
    let w = World::new().await;
    w.edge.swap(site(&compiled("acme/library.proto"), "acme.Library").unwrap());
    // The request's only field is the server's book id.
    let (status, book) = json_of(w.get("/books/a/b")).await;
    assert_eq!((status, &book), (200, &json!({"bookId": "books/a/b", "title": "A title"})));
    // Details are told although the descriptors have no google.rpc.
    assert_eq!(refusal(w.get("/nothing"), 404, 5).await, "ROUTE_NOT_FOUND");
    let (status, doc) = json_of(w.get("/openapi.json")).await;
    assert_eq!((status, &doc["paths"]["/books/{name}"]["get"]["operationId"]), (200, &json!("Library_GetBook")));
}

#[test]
fn what_can_not_be_served_is_named() {
    let bare = site(&compiled("jangteo/bare/v1/bare.proto"), "jangteo.bare.v1.BareService").err().unwrap();
    assert!(bare.to_string().contains("jangteo.bare.v1.BareService.Forgotten"), "{bare}");
    let shown = site(&compiled("acme/shown.proto"), "acme.Shown").err().unwrap();
    assert!(shown.to_string().contains("acme.Shown.Keep"), "{shown}");
    let absent = site(&pool(), "edge.test.v1.Absent").err().unwrap();
    assert!(absent.to_string().contains("edge.test.v1.Absent"), "{absent}");
    assert!(site(&pool(), SERVICE).is_ok());
}
