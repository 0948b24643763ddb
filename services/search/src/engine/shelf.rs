//! Where a kind's indexes lie on disk, and which of them serves.
//!
//! `<kind>/<stamp>-<n>/` holds an index and `<kind>/current` names the one that serves. A new one is built beside it and takes
//! its place in one step. All of it can be deleted: it is made again from the rows.

use super::{
    kind::{Kind, Row},
    live::{Live, broken},
    schema,
};
use crate::domain::analysis::Analyser;
use arc_swap::ArcSwapOption;
use jangteo_core::{Code, Error, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tantivy::{Index, IndexWriter, Term};

/// What a writer gathers before it writes a segment by itself.
const HEAP: usize = 32 << 20;
const CURRENT: &str = "current";

pub struct Shelf {
    pub kind: &'static Kind,
    root: PathBuf,
    live: ArcSwapOption<Live>,
    /// Somebody wants a new index.
    stale: AtomicBool,
}

impl Shelf {
    /// Serves what an earlier process left, if this one can read it.
    pub fn open(kind: &'static Kind, root: &Path) -> Result<Shelf> {
        let root = root.join(kind.name);
        fs::create_dir_all(&root).map_err(|e| unwritable(&root, e))?;
        let shelf = Shelf { kind, root, live: ArcSwapOption::empty(), stale: AtomicBool::new(false) };
        if let Some(name) = fs::read_to_string(shelf.root.join(CURRENT)).ok().map(|n| n.trim().to_owned()) {
            let folder = shelf.root.join(&name);
            match Index::open_in_dir(&folder).map_err(broken).and_then(|index| Live::open(kind, index, folder)) {
                Ok(live) => shelf.live.store(Some(Arc::new(live))),
                Err(error) => {
                    tracing::warn!(kind = kind.name, index = name, error = ?error, "an index can't be read and is built anew");
                }
            }
            // Made for another description, it serves until the new one is there.
            shelf.stale.store(!name.starts_with(&kind.stamp()), Ordering::Relaxed);
        }
        Ok(shelf)
    }

    /// The index that serves. UNAVAILABLE until the first one is built.
    pub fn live(&self) -> Result<Arc<Live>> {
        self.live.load_full().ok_or_else(|| {
            let text = "the index is being built; try again in a moment";
            Error::new(Code::Unavailable, "INDEX_BUILDING", text).with("kind", self.kind.name)
        })
    }

    /// As [`live`](Shelf::live), after a second's patience: right after the first start a small index is there in a moment.
    pub async fn soon(&self) -> Result<Arc<Live>> {
        for _ in 0..50 {
            if let Some(live) = self.serving() {
                return Ok(live);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.live()
    }

    pub fn serving(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    /// Has a new index built beside the one that serves.
    pub fn rebuild(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Whether one has to be built; asked once.
    pub fn wants_building(&self) -> bool {
        self.stale.swap(false, Ordering::Relaxed) || self.live.load().is_none()
    }

    /// An empty index in a folder of its own.
    pub fn create(&self) -> Result<Live> {
        let folder = self.root.join(format!("{}-{}", self.kind.stamp(), uuid::Uuid::now_v7().simple()));
        fs::create_dir_all(&folder).map_err(|e| unwritable(&folder, e))?;
        let index = Index::create_in_dir(&folder, schema::schema(self.kind)).map_err(broken)?;
        Live::open(self.kind, index, folder)
    }

    /// From now on `live` serves; searches under way finish on the one before, whose files go.
    pub fn put(&self, live: Arc<Live>) -> Result<()> {
        let name = live.folder.file_name().unwrap_or_default().to_owned();
        let next = self.root.join("next");
        fs::write(&next, name.as_encoded_bytes()).map_err(|e| unwritable(&next, e))?;
        fs::rename(&next, self.root.join(CURRENT)).map_err(|e| unwritable(&next, e))?;
        self.live.store(Some(live));
        let folders = fs::read_dir(&self.root).map_err(|e| unwritable(&self.root, e))?.filter_map(|f| f.ok());
        for old in folders.filter(|f| f.file_name() != name && f.path().is_dir()) {
            if let Err(error) = fs::remove_dir_all(old.path()) {
                tracing::warn!(folder = %old.path().display(), %error, "an old index can't be deleted");
            }
        }
        Ok(())
    }
}

fn unwritable(path: &Path, e: std::io::Error) -> Error {
    Error::new(Code::FailedPrecondition, "INDEX_UNWRITABLE", format!("{}: {e}", path.display())).with_source(e)
}

/// Writes one index. There is one writer of an index at a time, which a lock in its folder sees to.
pub struct Writer {
    live: Arc<Live>,
    inner: IndexWriter,
    analyser: Analyser,
}

impl Writer {
    pub fn new(live: Arc<Live>) -> Result<Writer> {
        let inner = live.index.writer_with_num_threads(1, HEAP).map_err(broken)?;
        Ok(Writer { live, inner, analyser: Analyser::default() })
    }

    /// Each row takes the place of what its document was before.
    pub fn write(&mut self, rows: &[Row]) -> Result<()> {
        let (kind, fields) = (self.live.kind, &self.live.fields);
        for row in rows {
            self.inner.delete_term(Term::from_field_text(fields.id, &row.id));
            match schema::document(kind, fields, row, &mut self.analyser) {
                Ok(Some(document)) => drop(self.inner.add_document(document).map_err(broken)?),
                Ok(None) => {}
                // One row that can't be read must not hold up the others; the check names it.
                Err(error) => tracing::error!(kind = kind.name, id = row.id, error = ?error, "a row can't be read"),
            }
        }
        Ok(())
    }

    /// Makes what was written durable and visible, together with the position that it stands for.
    pub fn commit(&mut self, position: i64) -> Result<()> {
        let mut commit = self.inner.prepare_commit().map_err(broken)?;
        commit.set_payload(&position.to_string());
        commit.commit().map_err(broken)?;
        kit::crash_point!("search.index.after_commit");
        self.live.reload(position)
    }
}
