//! The market from outside: the real program in all its shapes, through the edge.

mod chaos;
mod crashes;
mod descriptors;
mod erasure;
mod idempotency;
mod input;
mod operator;
mod policy;
mod scenarios;
mod secrets;
mod sessions;
mod shopping;
mod stores;
mod things;
mod traces;
mod trade;
mod world;

#[path = "../../src/services.rs"]
#[expect(dead_code, reason = "the tests need the list alone")]
mod services;

/// Runs each test in all topologies: `everywhere!(a_scenario)` over `async fn a_scenario(topology: Topology)`.
macro_rules! everywhere {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            use testkit::Topology;

            #[tokio::test]
            async fn embedded() {
                super::$test(Topology::Embedded).await;
            }

            #[tokio::test]
            async fn one_process() {
                super::$test(Topology::OneProcess).await;
            }

            #[tokio::test]
            async fn mesh() {
                super::$test(Topology::Mesh).await;
            }
        }
    )*};
}
pub(crate) use everywhere;
