//! A method is allowed nothing by omission.

use proto::policy::{Access, RequestId, policies};
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver};
use std::time::Duration;

struct One(String);

impl FileResolver for One {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "one.proto" { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// The policies of a service of one method with these options, in the given package.
fn of(package: &str, options: &str) -> Result<proto::policy::Policies, String> {
    let source = format!(
        "syntax = \"proto3\"; package {package}; import \"jangteo/options/v1/options.proto\"; message Nothing {{}} \
         service Things {{ rpc Do(Nothing) returns (stream Nothing) {{}} \
         rpc Make(Nothing) returns (Nothing) {{ {options} }} }}"
    );
    let source = source.replace(
        "(stream Nothing) {}",
        "(stream Nothing) { option (jangteo.options.v1.policy) = {access: ACCESS_PUBLIC}; }",
    );
    let mut files = ChainFileResolver::new();
    files.add(One(source));
    files.add(DescriptorSetFileResolver::decode(proto::DESCRIPTORS).unwrap());
    let mut compiler = protox::Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file("one.proto").unwrap();
    policies(&compiler.descriptor_pool())
}

#[test]
fn a_method_without_a_policy_stops_the_start() {
    let e = of("jangteo.thing.v1", "").unwrap_err();
    assert!(e.contains("/jangteo.thing.v1.Things/Make") && e.contains("policy"), "{e}");
    let e = of("jangteo.thing.v1", "option idempotency_level = IDEMPOTENT;").unwrap_err();
    assert!(e.contains("/jangteo.thing.v1.Things/Make"), "{e}");
}

#[test]
fn a_policy_that_does_not_say_who_stops_the_start() {
    for options in ["{}", "{callers: [\"*\"]}", "{access: ACCESS_UNSPECIFIED}", "{roles: [ROLE_ADMIN]}"] {
        let e = of("jangteo.thing.v1", &format!("option (jangteo.options.v1.policy) = {options};")).unwrap_err();
        assert!(e.contains("/jangteo.thing.v1.Things/Make") && e.contains("access"), "{e}");
    }
}

#[test]
fn services_of_others_need_none() {
    assert!(of("acme.library.v1", "").unwrap().keys().all(|path| path.starts_with("/jangteo.")));
}

#[test]
fn a_policy_is_read_as_written() {
    let options = "option idempotency_level = IDEMPOTENT; option (jangteo.options.v1.policy) = {access: ACCESS_SIGNED_IN \
                   roles: [ROLE_ADMIN, ROLE_BRAND_MANAGER] callers: [\"order\"] timeout: {seconds: 1 nanos: 500000000} \
                   request_id: REQUEST_ID_REQUIRED audit: true cache_control: \"public, max-age=60\"};";
    let policies = of("jangteo.thing.v1", options).unwrap();
    let make = &policies["/jangteo.thing.v1.Things/Make"];
    assert_eq!((make.service.as_str(), make.access), ("thing", Access::SignedIn));
    assert_eq!(make.roles, ["admin", "brand_manager"]);
    assert_eq!(make.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(make.request_id, RequestId::Required);
    assert!(make.audit && make.repeatable && !make.safe && !make.streaming);
    assert_eq!(make.cache_control, "public, max-age=60");
    assert!(make.admits("order") && !make.admits("gateway") && !make.admits("*"));
    let stream = &policies["/jangteo.thing.v1.Things/Do"];
    assert!(stream.streaming && !stream.repeatable && !stream.audit);
    assert_eq!((stream.timeout, stream.access), (None, Access::Public));
    assert!(stream.admits("gateway") && !stream.admits("order"), "the gateway alone, unless said");
}

#[test]
fn all_of_ours_have_one() {
    let policies = policies(proto::pool()).unwrap();
    assert!(policies.len() > 5);
    for p in policies.values() {
        assert!(p.timeout.is_some() || p.streaming, "{}", p.path);
        assert!(p.access != Access::Internal || !p.callers.is_empty(), "{}", p.path);
    }
}
