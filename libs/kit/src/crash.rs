//! Named places at which a test kills the process, to show that nothing is lost there.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    name: String,
    /// Passes left before the one that kills.
    left: AtomicU32,
}

/// Arms a point: `catalog.create.after_emit`, or `…:3` for the third time it is passed.
pub fn arm(spec: &str) {
    let (name, nth) = spec.rsplit_once(':').and_then(|(n, c)| Some((n, c.parse().ok()?))).unwrap_or((spec, 1));
    let _ = ARMED.set(Armed { name: name.to_owned(), left: AtomicU32::new(nth) });
}

/// Sends this process SIGKILL when the point is armed.
pub fn point(name: &str) {
    let Some(armed) = ARMED.get() else { return };
    if armed.name == name && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way; nothing of this thread's may happen meanwhile.
        loop {
            std::thread::park();
        }
    }
}

/// Marks a place between two steps at which tests kill the process: `crash_point!("order.after_commit")`.
/// Costs one load of a static where nothing is armed.
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        $crate::crash::point($name)
    };
}
