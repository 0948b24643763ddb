//! One service on stores of its own, called as its gRPC adapter calls it: for the tests of a service crate.
//! A dev-dependency only; whole markets are `testkit`'s.
//!
//! - [`both!`] runs each test on SQLite and on PostgreSQL, which `scripts/with-servers` starts.
//! - [`Stores`]: a fresh database with the service's schema, and what else a service is built from.
//! - [`by`], [`anonymous`], [`keyed`] …: calls built by hand.
//! - [`Fake`]: a peer that answers what the test says.

mod calls;
mod fake;
mod stores;

pub use calls::{anonymous, at, by, keyed, system, with_roles};
pub use fake::Fake;
pub use stores::{Kind, Stores};

#[doc(hidden)]
pub use tokio;

/// Runs each named test of a module, `async fn(Kind)`, on SQLite and on PostgreSQL:
///
/// ```ignore
/// testbed::both! { carts: ten_parallel_adds_keep_ten, a_guest_cart_is_merged_once; wishlists: … }
/// ```
#[macro_export]
#[expect(clippy::crate_in_macro_def, reason = "the tests are modules of the crate that calls")]
macro_rules! both {
    ($($module:ident: $($test:ident),+ $(,)?);+ $(;)?) => {
        mod sqlite { $(mod $module { $(
            #[$crate::tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() { crate::$module::$test($crate::Kind::Sqlite).await }
        )+ })+ }
        mod postgres { $(mod $module { $(
            #[$crate::tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() { crate::$module::$test($crate::Kind::Postgres).await }
        )+ })+ }
    };
}
