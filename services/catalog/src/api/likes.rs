//! Likes: one a person, counted at once for whoever reads the product. Views are cached beside them.

use crate::{
    Catalog,
    store::{self, like::Counts},
};
use jangteo_core::{Call, Result};
use proto::jangteo::catalog::v1::Like;

fn key(product_id: &str) -> String {
    format!("counts:{product_id}")
}

impl Catalog {
    /// A like is seen at once; views within the entry's time to live, so that counting them evicts nothing.
    pub(super) async fn counts(&self, product_id: &str) -> Result<Counts> {
        let db = self.db_of(product_id)?;
        let load = async {
            let views = store::product::views(db.primary(), product_id).await?;
            Ok(Counts { views, ..store::like::count(db.primary(), product_id).await? })
        };
        self.cache.get_or_load(&key(product_id), self.counts_ttl, |c: &Counts| c.changes, load).await
    }

    pub(super) async fn set_like(&self, cx: &Call, product_id: &str, liked: bool) -> Result<Like> {
        let user = cx.user_id()?;
        // Being withdrawn in this very moment is no reason to refuse; never having been is.
        self.product(product_id).await?;
        let write = async |tx: kit::db::Tx| {
            let changed = match liked {
                true => store::like::insert(&tx, product_id, user).await?,
                false => store::like::delete(&tx, product_id, user).await?,
            };
            let counts = store::like::count(&tx, product_id).await?;
            if changed {
                let (cache, key) = (self.cache.clone(), key(product_id));
                tx.after_commit(move || cache.evict(&key, counts.changes));
            }
            let like_count = Some(store::product::small(counts.likes));
            Ok(Like { product_id: product_id.to_owned(), liked: Some(liked), like_count })
        };
        self.db_of(product_id)?.write(cx, write).await
    }
}
