//! The administrators' synonyms.

use crate::{Search, domain::synonym, store};
use jangteo_core::{Call, Error, Result};
use proto::jangteo::search::v1::{SynonymGroup, Synonyms, UpdateSynonymsRequest};
use std::sync::Arc;

impl Search {
    pub(super) async fn all_synonyms(&self) -> Result<Synonyms> {
        let (groups, version) = store::synonym::load(self.db.primary()).await?;
        Ok(wire(groups, version))
    }

    pub(super) async fn replace_synonyms(&self, cx: &Call, req: UpdateSynonymsRequest) -> Result<Synonyms> {
        let groups: Vec<Vec<String>> = req.groups.into_iter().map(|g| g.words).collect();
        let (groups, etag) = (&synonym::tidy(&groups)?, &req.etag);
        let write = async |tx: kit::db::Tx| {
            let (_, version) = store::synonym::load(&tx).await?;
            if !etag.is_empty() && *etag != version.to_string() {
                return Err(Error::etag_mismatch(version.to_string()));
            }
            store::synonym::put(&tx, groups, version + 1).await?;
            let reworded = self.reworded.clone();
            tx.after_commit(move || reworded.notify_one());
            Ok(wire(groups.clone(), version + 1))
        };
        let done = self.db.write(cx, write).await?;
        // At once here, whichever way the loop is; elsewhere when it looks.
        self.synonyms.store(Arc::new(synonym::Synonyms::with(groups)));
        Ok(done)
    }
}

fn wire(groups: Vec<Vec<String>>, version: i64) -> Synonyms {
    let built_in = synonym::BUILT_IN.iter().map(|g| g.iter().map(|w| (*w).to_owned()).collect());
    let group = |words: Vec<String>| SynonymGroup { words };
    Synonyms {
        groups: groups.into_iter().map(group).collect(),
        built_in: built_in.map(group).collect(),
        etag: version.to_string(),
    }
}
