//! An index that serves, and how it is searched.

use super::{
    ask::{Asker, Nominal, Strictness},
    collect::{Gather, Gathered, Key, Wish},
    kind::{Kind, Value},
    schema::{Fields, ID, VERSION, WANTED},
};
use crate::domain::{analysis::Analyser, query::Wanted, ranking::Ranking};
use jangteo_core::{Error, Result};
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};
use tantivy::{DocAddress, Index, IndexReader, ReloadPolicy, Searcher, TantivyDocument, schema::Value as _};

pub struct Live {
    pub kind: &'static Kind,
    pub index: Index,
    pub fields: Fields,
    pub folder: PathBuf,
    reader: IndexReader,
    /// Every change before it can be found.
    position: AtomicI64,
}

/// A document that was found.
pub struct Hit {
    pub id: String,
    pub body: Vec<u8>,
    pub key: Key,
}

pub struct Found {
    pub strictness: Strictness,
    pub rarity: Vec<f32>,
    /// Documents that have the words, whatever the filters say.
    pub matched: u64,
    pub total: u64,
    pub hits: Vec<Hit>,
    /// Whether there are hits behind these.
    pub more: bool,
    pub counts: Vec<BTreeMap<Value, u64>>,
}

/// What an index holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// By id: the version, and how much it is wanted.
    pub documents: HashMap<String, (i64, u64)>,
    /// Documents that are in it more than once.
    pub twice: Vec<String>,
}

pub fn broken(e: tantivy::TantivyError) -> Error {
    Error::internal(e)
}

impl Live {
    pub fn open(kind: &'static Kind, index: Index, folder: PathBuf) -> Result<Live> {
        let fields = Fields::of(kind, &index.schema()).map_err(broken)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(broken)?;
        let payload = index.load_metas().map_err(broken)?.payload;
        let position = payload.and_then(|p| p.parse().ok()).unwrap_or(0);
        Ok(Live { kind, index, fields, folder, reader, position: AtomicI64::new(position) })
    }

    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// Shows what was committed.
    pub fn reload(&self, position: i64) -> Result<()> {
        self.reader.reload().map_err(broken)?;
        self.position.store(position, Ordering::Release);
        Ok(())
    }

    /// Everything before `position` is shown already.
    pub fn advance(&self, position: i64) {
        self.position.store(position, Ordering::Release);
    }

    pub fn documents(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Takes the words as strictly as `ladder` says, one step down as long as no document has them. `rarity` is what the
    /// first page found of the words. Takes as long as it takes, on the thread that calls.
    pub fn search(
        &self,
        ranking: &Arc<Ranking>,
        wanted: &[Wanted],
        wish: Wish,
        ladder: &[Strictness],
        rarity: Option<Vec<f32>>,
    ) -> Result<Found> {
        let searcher = self.reader.searcher();
        let mut asker = self.asker(ranking);
        let wish = Arc::new(wish);
        let rarity = match rarity {
            Some(rarity) => rarity,
            None => asker.rarity(&searcher, wanted).map_err(broken)?,
        };
        let mut steps = ladder.iter().peekable();
        loop {
            let strictness = steps.next().copied().unwrap_or(Strictness::All);
            let query = asker.query(wanted, strictness, &rarity);
            let collector = Gather { kind: self.kind, wish: wish.clone(), ranking: ranking.clone() };
            let nominal = Nominal::new(self.kind, &self.fields);
            let gathered = searcher.search_with_statistics_provider(&*query, &collector, &nominal).map_err(broken)?;
            if gathered.matched > 0 || steps.peek().is_none() {
                return self.found(&searcher, gathered, wish.limit, strictness, rarity);
            }
        }
    }

    /// The bodies of what begins with `spelt` and is on sale, the best first.
    pub fn beginning(&self, ranking: &Arc<Ranking>, spelt: &str, initials: bool, wish: Wish) -> Result<Vec<Vec<u8>>> {
        let searcher = self.reader.searcher();
        let query = self.asker(ranking).beginning(spelt, initials);
        let collector = Gather { kind: self.kind, wish: Arc::new(wish), ranking: ranking.clone() };
        let nominal = Nominal::new(self.kind, &self.fields);
        let top = searcher.search_with_statistics_provider(&*query, &collector, &nominal).map_err(broken)?.top;
        top.into_iter().map(|(_, at)| Ok(self.stored(&searcher, at)?.1)).collect()
    }

    fn asker<'a>(&'a self, ranking: &'a Ranking) -> Asker<'a> {
        Asker { kind: self.kind, fields: &self.fields, ranking, analyser: Analyser::default() }
    }

    fn found(
        &self,
        searcher: &Searcher,
        mut gathered: Gathered,
        limit: usize,
        strictness: Strictness,
        rarity: Vec<f32>,
    ) -> Result<Found> {
        let more = gathered.top.len() > limit;
        gathered.top.truncate(limit);
        let hit = |(key, at): (Key, DocAddress)| {
            let (id, body) = self.stored(searcher, at)?;
            Ok(Hit { id, body, key })
        };
        let hits = gathered.top.into_iter().map(hit).collect::<Result<_>>()?;
        let Gathered { matched, total, counts, .. } = gathered;
        Ok(Found { strictness, rarity, matched, total, hits, more, counts })
    }

    fn stored(&self, searcher: &Searcher, at: DocAddress) -> Result<(String, Vec<u8>)> {
        let document: TantivyDocument = searcher.doc(at).map_err(broken)?;
        let body = document.get_first(self.fields.body).and_then(|v| v.as_bytes().map(<[u8]>::to_vec));
        let ids = searcher.segment_reader(at.segment_ord).fast_fields().str(ID).map_err(broken)?;
        let mut id = String::new();
        if let Some(ids) = ids
            && let Some(ord) = ids.ords().first(at.doc_id)
        {
            ids.ord_to_str(ord, &mut id).map_err(Error::internal)?;
        }
        Ok((id, body.unwrap_or_default()))
    }

    /// All of it, for comparing it with the rows.
    pub fn contents(&self) -> Result<Contents> {
        let mut out = Contents::default();
        for segment in self.reader.searcher().segment_readers() {
            let fast = segment.fast_fields();
            let Some(ids) = fast.str(ID).map_err(broken)? else { continue };
            let (version, wanted) = (fast.i64(VERSION).map_err(broken)?, fast.u64(WANTED).map_err(broken)?);
            for doc in segment.doc_ids_alive() {
                let Some(ord) = ids.ords().first(doc) else { continue };
                let mut id = String::new();
                ids.ord_to_str(ord, &mut id).map_err(Error::internal)?;
                let said = (version.first(doc).unwrap_or(0), wanted.first(doc).unwrap_or(0));
                if out.documents.insert(id.clone(), said).is_some() {
                    out.twice.push(id);
                }
            }
        }
        Ok(out)
    }
}
