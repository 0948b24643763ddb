//! The call path, proven on the probe service: one suite over the three shapes of a peer, then what
//! only one of them has.

/// Runs each test in every shape that a peer can have.
macro_rules! everywhere {
    ($($name:ident),* $(,)?) => {
        mod local { $(#[tokio::test] async fn $name() { super::$name(crate::world::World::new(crate::world::Shape::Local).await).await })* }
        mod remote { $(#[tokio::test] async fn $name() { super::$name(crate::world::World::new(crate::world::Shape::Remote).await).await })* }
        mod mutual { $(#[tokio::test] async fn $name() { super::$name(crate::world::World::new(crate::world::Shape::Mutual).await).await })* }
    };
}

mod counted;
mod probe;
mod refused;
mod remote;
mod suite;
mod tls;
mod world;
