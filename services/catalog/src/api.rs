//! The RPCs: authorise, load, decide, write, reply.

mod images;
mod likes;
mod list;
mod stock;

use crate::{
    Catalog,
    domain::{Event, Fault, MAX_STOCK, Product, ProductId, Verb, category::Tree, listing, region},
    store,
};
use jangteo_core::{Call, Error, Result};
use kit::{crash_point, db::Db};
use proto::jangteo::catalog::v1::{self as wire, catalog_service::Api};

const CATEGORIES: &str = "categories";

impl Api for Catalog {
    async fn create_product(&self, cx: Call, req: wire::CreateProductRequest) -> Result<wire::Product> {
        let seller = cx.user_id()?.to_owned();
        let shard = region::shard(&req.region_id)?;
        self.tree().await?.get(&req.category_id)?;
        let id = self.shards.new_id::<Product>(shard).to_string();
        let event = listing::created(&id, &seller, &req, cx.now)?;
        self.check_images(&cx, &seller, &req.image_ids).await?;
        self.claim(&cx).await?;
        crash_point!("catalog.create.before_tx");
        let (id, event) = (&id, &event);
        let write = async |tx: kit::db::Tx| {
            let row = store::product::insert(&tx, event).await?;
            crash_point!("catalog.create.after_insert");
            tx.append(id, 0, std::slice::from_ref(event)).await?;
            crash_point!("catalog.create.after_emit");
            row.into_wire()
        };
        let product = self.shards.db(shard).write(&cx, write).await?;
        crash_point!("catalog.create.after_commit");
        Ok(product)
    }

    async fn get_product(&self, cx: Call, req: wire::GetProductRequest) -> Result<wire::Product> {
        let mut product = self.product(&req.product_id).await?;
        let counts = self.counts(&req.product_id).await?;
        product.like_count = Some(store::product::small(counts.likes));
        product.view_count = Some(store::product::small(counts.views));
        product.available = Some(store::product::small(self.available(&req.product_id).await?.units));
        if let Ok(user) = cx.user_id() {
            let db = self.db_of(&req.product_id)?;
            product.liked = Some(store::like::exists(db.primary(), &req.product_id, user).await?);
        }
        self.views.add(&req.product_id, 1);
        Ok(product)
    }

    async fn list_products(&self, _cx: Call, req: wire::ListProductsRequest) -> Result<wire::ListProductsResponse> {
        self.list(req).await
    }

    async fn update_product(&self, cx: Call, req: wire::UpdateProductRequest) -> Result<wire::Product> {
        let patch = listing::patch(&req)?;
        if let Some(category_id) = &patch.category_id {
            self.tree().await?.get(category_id)?;
        }
        if let Some(image_ids) = patch.image_ids.as_deref().filter(|ids| !ids.is_empty()) {
            self.check_images(&cx, &self.product(&req.product_id).await?.seller_id, image_ids).await?;
        }
        self.change(&cx, &req.product_id, &req.etag, |p| Ok(p.update(&patch))).await
    }

    async fn delete_product(&self, cx: Call, req: wire::DeleteProductRequest) -> Result<()> {
        self.change(&cx, &req.product_id, &req.etag, |p| Ok(p.delete())).await?;
        Ok(())
    }

    async fn list_product_history(
        &self,
        _cx: Call,
        req: wire::ListProductHistoryRequest,
    ) -> Result<wire::ListProductHistoryResponse> {
        self.history(req).await
    }

    async fn like_product(&self, cx: Call, req: wire::LikeProductRequest) -> Result<wire::Like> {
        self.set_like(&cx, &req.product_id, true).await
    }

    async fn unlike_product(&self, cx: Call, req: wire::UnlikeProductRequest) -> Result<wire::Like> {
        self.set_like(&cx, &req.product_id, false).await
    }

    async fn reserve_product(&self, cx: Call, req: wire::ReserveProductRequest) -> Result<wire::Product> {
        self.change(&cx, &req.product_id, &req.etag, |p| p.turn(Verb::Reserve)).await
    }

    async fn sell_product(&self, cx: Call, req: wire::SellProductRequest) -> Result<wire::Product> {
        self.change(&cx, &req.product_id, &req.etag, |p| p.turn(Verb::Sell)).await
    }

    async fn relist_product(&self, cx: Call, req: wire::RelistProductRequest) -> Result<wire::Product> {
        self.change(&cx, &req.product_id, &req.etag, |p| p.turn(Verb::Relist)).await
    }

    async fn adjust_stock(&self, cx: Call, req: wire::AdjustStockRequest) -> Result<wire::Product> {
        // The seller never changes, so the cached product will do; the statement below decides on the stock alone.
        cx.owns(&self.product(&req.product_id).await?.seller_id)?;
        let (id, delta) = (&req.product_id, req.delta);
        let write = async |tx: kit::db::Tx| {
            let Some(row) = store::product::stock::add(&tx, id, delta.into(), MAX_STOCK.into()).await? else {
                return Err(refused(id, delta, store::product::find(&tx, id).await?.available()));
            };
            self.stock_changed(&tx, &row, delta).await?;
            row.into_wire()
        };
        self.db_of(id)?.write(&cx, write).await
    }

    async fn list_categories(
        &self,
        _cx: Call,
        _req: wire::ListCategoriesRequest,
    ) -> Result<wire::ListCategoriesResponse> {
        Ok(wire::ListCategoriesResponse { categories: self.tree().await?.nested() })
    }

    async fn create_category(&self, cx: Call, req: wire::CreateCategoryRequest) -> Result<wire::Category> {
        let event = &wire::CategoryCreated {
            category_id: req.category_id,
            parent_id: req.parent_id,
            names: req.names,
            position: req.position,
        };
        let write = async |tx: kit::db::Tx| {
            let all = store::category::all(&tx).await?;
            let count = all.len() as i64 + 1;
            Tree::new(all).admits(&event.parent_id)?;
            if !store::category::insert(&tx, event).await? {
                return Err(Fault::CategoryExists { category_id: event.category_id.clone() }.into());
            }
            tx.append(&event.category_id, 0, std::slice::from_ref(event)).await?;
            let cache = self.cache.clone();
            tx.after_commit(move || cache.evict(CATEGORIES, count));
            Ok(wire::Category {
                category_id: event.category_id.clone(),
                parent_id: event.parent_id.clone(),
                names: event.names.clone(),
                children: Vec::new(),
                position: event.position,
            })
        };
        self.home.write(&cx, write).await
    }

    async fn get_offers(&self, _cx: Call, req: wire::GetOffersRequest) -> Result<wire::GetOffersResponse> {
        Ok(wire::GetOffersResponse { offers: self.offers(&req.product_ids).await? })
    }

    async fn hold_stock(&self, cx: Call, req: wire::HoldStockRequest) -> Result<wire::StockHold> {
        self.hold(cx, req).await
    }

    async fn confirm_stock(&self, cx: Call, req: wire::ConfirmStockRequest) -> Result<wire::StockHold> {
        self.confirm(cx, req).await
    }

    async fn release_stock(&self, cx: Call, req: wire::ReleaseStockRequest) -> Result<wire::StockHold> {
        self.release(cx, req).await
    }

    async fn return_stock(&self, cx: Call, req: wire::ReturnStockRequest) -> Result<()> {
        self.take_back(cx, req).await
    }

    async fn list_regions(&self, _cx: Call, _req: wire::ListRegionsRequest) -> Result<wire::ListRegionsResponse> {
        Ok(wire::ListRegionsResponse { regions: region::all() })
    }
}

fn refused(id: &str, delta: i32, left: i32) -> Error {
    match delta {
        d if d < 0 => Fault::OutOfStock { product_id: id.to_owned(), left }.into(),
        _ => Fault::StockTooLarge { product_id: id.to_owned(), limit: MAX_STOCK }.into(),
    }
}

/// The etag is the version of the last event.
fn version(p: &wire::Product) -> i64 {
    p.etag.parse().unwrap_or(0)
}

impl Catalog {
    fn product_key(product_id: &str) -> String {
        format!("product:{product_id}")
    }

    /// The database that holds a product; an id that can't be one is of no product.
    fn db_of(&self, product_id: &str) -> Result<&Db> {
        self.shards.db_of(&product_id.parse::<ProductId>()?)
    }

    /// The number of the database that holds a product.
    pub(crate) fn place(&self, product_id: &str) -> Result<usize> {
        let shard = self.shards.region(&product_id.parse::<ProductId>()?)?;
        Ok(usize::from(shard) % self.shards.dbs().len())
    }

    /// The product as everybody sees it; its counts and what is available of it may be old.
    async fn product(&self, product_id: &str) -> Result<wire::Product> {
        let db = self.db_of(product_id)?;
        let load = async { store::product::find(db.primary(), product_id).await?.into_wire() };
        self.cache.get_or_load(&Self::product_key(product_id), self.ttl, version, load).await
    }

    pub(crate) fn evict_after(&self, tx: &kit::db::Tx, row: &store::product::Model) {
        let (cache, key, version) = (self.cache.clone(), Self::product_key(&row.product_id), row.version);
        tx.after_commit(move || cache.evict(&key, version));
        self.evict_available_after(tx, row);
    }

    /// The tree. Categories are only ever added, so their number is the version.
    async fn tree(&self) -> Result<Tree> {
        let load = async {
            let categories = store::category::all(self.home.primary()).await?;
            Ok(wire::ListCategoriesResponse { categories })
        };
        let version = |c: &wire::ListCategoriesResponse| c.categories.len() as i64;
        Ok(Tree::new(self.cache.get_or_load(CATEGORIES, self.ttl, version, load).await?.categories))
    }

    /// Changes a product of the caller's: what `decide` gives is added to its history and makes its row.
    async fn change<F>(&self, cx: &Call, product_id: &str, etag: &str, decide: F) -> Result<wire::Product>
    where
        F: Fn(&Product) -> Result<Vec<Event>> + Send + Sync,
    {
        let decide = &decide;
        let write = async |tx: kit::db::Tx| {
            let row = store::product::find(&tx, product_id).await?;
            tx.call().owns(&row.seller_id)?;
            if !etag.is_empty() && etag != row.etag() {
                return Err(Error::etag_mismatch(row.etag()));
            }
            let events = decide(&row.state()?)?;
            let row = store::product::record(&tx, row, &events).await?;
            self.evict_after(&tx, &row);
            row.into_wire()
        };
        self.db_of(product_id)?.write(cx, write).await
    }

    /// With shards in several databases the same request id could be used once in each; a claim in the first database
    /// binds it to one request. A crash behind the claim does no harm: the same request passes it again.
    async fn claim(&self, cx: &Call) -> Result<()> {
        if cx.request_id.is_none() || self.shards.dbs().len() == 1 {
            return Ok(());
        }
        let mut claim = cx.clone();
        claim.method = format!("{}#claim", cx.method).into();
        self.home.write(&claim, async |_| Ok(())).await
    }
}
