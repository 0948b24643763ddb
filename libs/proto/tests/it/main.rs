//! What `build/` writes, run: the checks of inputs, logs without secrets, and policies.

mod policy;
mod redaction;
mod rules;

/// Made from `tests/rules.proto` as the real ones are from `proto/`.
mod generated {
    #![expect(clippy::all, reason = "written by prost")]
    include!(concat!(env!("OUT_DIR"), "/tests/modules.rs"));
}
use generated::jangteo;

mod impls {
    #![expect(clippy::all, reason = "written by build/")]
    use jangteo_core::Violation;
    use proto::rules::{self, Checked, Path};
    include!(concat!(env!("OUT_DIR"), "/tests/impls.rs"));
}

#[test]
fn messages_of_imported_files_come_along() {
    assert_eq!(jangteo::options::v1::HttpReply::default().status, 0);
}
