//! Wakes those who watch, in this process; those of other replicas look again every second.

use kit::db::Tx;
use std::sync::Arc;
use tokio::sync::broadcast;

/// So many people may get something new before a slow watcher looks without being told.
const WAITING: usize = 1024;

#[derive(Clone)]
pub struct News(broadcast::Sender<Arc<str>>);

impl News {
    pub fn new() -> News {
        News(broadcast::Sender::new(WAITING))
    }

    /// Tells who watches for these people once the transaction is through.
    pub fn tell_after<'a>(&self, tx: &Tx, people: impl IntoIterator<Item = &'a str>) {
        let people: Vec<Arc<str>> = people.into_iter().map(Arc::from).collect();
        let sender = self.0.clone();
        // Nobody watches: nobody is told.
        tx.after_commit(move || people.into_iter().for_each(|p| drop(sender.send(p))));
    }

    pub fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }
}
