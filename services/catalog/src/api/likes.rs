//! Likes: one a person, counted at once for whoever reads the product.

use crate::{Catalog, store::{self, like::Likes}};
use jangteo_core::{Call, Result};
use proto::jangteo::catalog::v1::Like;

fn key(product_id: &str) -> String {
    format!("likes:{product_id}")
}

impl Catalog {
    pub(super) async fn like_count(&self, product_id: &str) -> Result<i32> {
        let db = self.db_of(product_id)?;
        let load = async { store::like::count(db.primary(), product_id).await };
        let likes = self.cache.get_or_load(&key(product_id), self.ttl, |l: &Likes| l.changes, load).await?;
        Ok(store::product::small(likes.count))
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
            let likes = store::like::count(&tx, product_id).await?;
            if changed {
                let (cache, key) = (self.cache.clone(), key(product_id));
                tx.after_commit(move || cache.evict(&key, likes.changes));
            }
            let like_count = store::product::small(likes.count);
            Ok(Like { product_id: product_id.to_owned(), liked, like_count })
        };
        self.db_of(product_id)?.write(cx, write).await
    }
}
