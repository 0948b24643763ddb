//! The RPCs: authorise, load, decide, write, reply.

mod copies;
mod wishes;

use crate::{
    Carts,
    domain::{
        self, Fault, Line, MAX_LINES, admit,
        price::{self, Offers},
        token::{self, Purpose},
    },
    store::{
        self,
        cart::{Model, Whose},
    },
};
use jangteo_core::{Call, Code, Error, Result, from_micros, micros};
use kit::db::Tx;
use proto::jangteo::{
    cart::v1::{self as wire, cart_service::Api},
    catalog::v1::{GetOffersRequest, Offer},
};
use ring::rand::{SecureRandom, SystemRandom};
use std::{collections::HashMap, time::Instant};

impl Api for Carts {
    async fn get_cart(&self, cx: Call, req: wire::GetCartRequest) -> Result<wire::Cart> {
        let whose = match whose(&cx, &req.guest_token)? {
            Some(whose) => whose,
            None => return Ok(price::cart(Vec::new(), &Some(HashMap::new()))),
        };
        let mut row = store::cart::find(self.db.primary(), &whose, cx.now).await?;
        if let Some(row) = &mut row
            && self.is_ageing(row, &cx)
        {
            let expire = cx.now + self.guest_ttl;
            self.db.write(&cx, async |tx: Tx| store::cart::open(&tx, &whose, expire).await).await?;
            row.expire_time = Some(micros(expire));
        }
        self.show(&cx, row).await
    }

    async fn add_cart_item(&self, cx: Call, req: wire::AddCartItemRequest) -> Result<wire::Cart> {
        let Opened { cx, whose, guest_token } = self.whose_or_new(cx, &req.guest_token)?;
        let offer = self.offer(&cx, &req.product_id).await?;
        admit(&offer, cx.user_id().ok())?;
        let line = &Line::of(&offer, req.quantity.into(), micros(cx.now));
        let (whose, expire) = (&whose, cx.now + self.guest_ttl);
        let write = async |tx: Tx| {
            let cart_id = store::cart::open(&tx, whose, expire).await?;
            store::line::add(&tx, &cart_id, line.clone()).await
        };
        self.db.write(&cx, write).await?;
        Ok(wire::Cart { guest_token, ..self.show_of(&cx, whose).await? })
    }

    async fn update_cart_item(&self, cx: Call, req: wire::UpdateCartItemRequest) -> Result<wire::Cart> {
        let (product_id, quantity) = (&*req.product_id, req.quantity.into());
        let change =
            async |tx: Tx, cart_id: String| store::line::set_quantity(&tx, &cart_id, product_id, quantity).await;
        self.change(cx, &req.guest_token, change).await
    }

    async fn remove_cart_item(&self, cx: Call, req: wire::RemoveCartItemRequest) -> Result<wire::Cart> {
        let product_id = Some(&*req.product_id);
        let change = async |tx: Tx, cart_id: String| store::line::remove(&tx, &cart_id, product_id).await;
        self.change(cx, &req.guest_token, change).await
    }

    async fn clear_cart(&self, cx: Call, req: wire::ClearCartRequest) -> Result<wire::Cart> {
        let change = async |tx: Tx, cart_id: String| store::line::remove(&tx, &cart_id, None).await;
        self.change(cx, &req.guest_token, change).await
    }

    async fn merge_cart(&self, cx: Call, req: wire::MergeCartRequest) -> Result<wire::MergeCartResponse> {
        self.merge(cx, &req.guest_token).await
    }

    async fn share_cart(&self, cx: Call, _req: wire::ShareCartRequest) -> Result<wire::CartShare> {
        self.share(cx).await
    }

    async fn get_shared_cart(&self, cx: Call, req: wire::GetSharedCartRequest) -> Result<wire::Cart> {
        let row = self.shared(&cx, &req.share_token).await?;
        self.show(&cx, Some(row)).await
    }

    async fn copy_shared_cart(&self, cx: Call, req: wire::CopySharedCartRequest) -> Result<wire::MergeCartResponse> {
        self.copy(cx, &req.share_token, &req.guest_token).await
    }

    async fn delete_shared_cart(&self, cx: Call, req: wire::DeleteSharedCartRequest) -> Result<()> {
        self.unshare(cx, &req.share_token).await
    }

    async fn list_wishes(&self, cx: Call, req: wire::ListWishesRequest) -> Result<wire::ListWishesResponse> {
        self.wishes(cx, req).await
    }

    async fn get_wish(&self, cx: Call, req: wire::GetWishRequest) -> Result<wire::Wish> {
        self.wish(&cx, &req.product_id).await
    }

    async fn put_wish(&self, cx: Call, req: wire::PutWishRequest) -> Result<wire::Wish> {
        self.make_wish(cx, &req.product_id).await
    }

    async fn delete_wish(&self, cx: Call, req: wire::DeleteWishRequest) -> Result<wire::Wish> {
        self.drop_wish(cx, &req.product_id).await
    }
}

/// Whose cart a call means; `None`: a guest who has none.
fn whose(cx: &Call, guest_token: &str) -> Result<Option<Whose>> {
    if let Ok(user_id) = cx.user_id() {
        return Ok(Some(Whose::Person(user_id.to_owned())));
    }
    match guest_token {
        "" => Ok(None),
        known => Ok(Some(Whose::Guest(guest_hash(known)?))),
    }
}

fn guest_hash(guest_token: &str) -> Result<String> {
    token::hash(Purpose::Guest, guest_token).ok_or_else(|| Fault::CartNotFound.into())
}

/// A fresh token and what is kept of it.
fn fresh_token(purpose: Purpose) -> Result<(String, String)> {
    let mut random = [0; 32];
    SystemRandom::new().fill(&mut random).map_err(|_| Error::internal("the system has no randomness"))?;
    let token = token::token(purpose, &random);
    let hash = token::hash(purpose, &token).ok_or_else(|| Error::internal("a fresh token has a hash"))?;
    Ok((token, hash))
}

/// A cart that may have to be made.
struct Opened {
    cx: Call,
    whose: Whose,
    /// Of a newcomer.
    guest_token: String,
}

impl Carts {
    /// A newcomer's request is never answered from what an earlier one left: that would need the token to be kept.
    fn whose_or_new(&self, mut cx: Call, guest_token: &str) -> Result<Opened> {
        if let Some(whose) = whose(&cx, guest_token)? {
            return Ok(Opened { cx, whose, guest_token: String::new() });
        }
        cx.request_id = None;
        let (guest_token, hash) = fresh_token(Purpose::Guest)?;
        Ok(Opened { cx, whose: Whose::Newcomer(hash), guest_token })
    }

    /// Whether reading a guest's cart should make it live longer: once in a thirtieth of its life.
    fn is_ageing(&self, row: &Model, cx: &Call) -> bool {
        let young = cx.now + self.guest_ttl - self.guest_ttl / 30;
        row.guest_hash.is_some() && row.expire_time.is_some_and(|expire| expire < micros(young))
    }

    /// Changes lines of a cart that must be there already, or be a person's.
    async fn change<F, Fut>(&self, cx: Call, guest_token: &str, change: F) -> Result<wire::Cart>
    where
        F: Fn(Tx, String) -> Fut + Send + Sync,
        Fut: Future<Output = Result<()>> + Send,
    {
        let whose = &whose(&cx, guest_token)?.ok_or(Fault::GuestTokenRequired)?;
        let (change, expire) = (&change, cx.now + self.guest_ttl);
        let write = async |tx: Tx| {
            let cart_id = store::cart::open(&tx, whose, expire).await?;
            change(tx, cart_id).await
        };
        self.db.write(&cx, write).await?;
        self.show_of(&cx, whose).await
    }

    /// The cart as it is after a write.
    async fn show_of(&self, cx: &Call, whose: &Whose) -> Result<wire::Cart> {
        let known = match whose {
            Whose::Newcomer(hash) => &Whose::Guest(hash.clone()),
            other => other,
        };
        let row = store::cart::find(self.db.primary(), known, cx.now).await?;
        self.show(cx, row).await
    }

    async fn show(&self, cx: &Call, row: Option<Model>) -> Result<wire::Cart> {
        let lines = match &row {
            Some(row) => store::line::all(self.db.primary(), &row.cart_id).await?,
            None => Vec::new(),
        };
        let offers = self.offers_in_time(cx, &lines).await?;
        let expire_time = row.as_ref().and_then(|row| row.expire_time);
        Ok(wire::Cart {
            cart_id: row.map(|row| row.cart_id).unwrap_or_default(),
            expire_time: expire_time.map(|t| proto::timestamp(from_micros(t))),
            ..price::cart(lines, &offers)
        })
    }

    /// What is offered now of these products.
    async fn offers(&self, cx: &Call, product_ids: Vec<String>) -> Result<HashMap<String, Offer>> {
        let mut offers = HashMap::with_capacity(product_ids.len());
        for ids in product_ids.chunks(MAX_LINES) {
            let found = self.catalog.get_offers(cx, GetOffersRequest { product_ids: ids.to_vec() }).await?;
            offers.extend(found.offers.into_iter().map(|o| (o.product_id.clone(), o)));
        }
        Ok(offers)
    }

    async fn offer(&self, cx: &Call, product_id: &str) -> Result<Offer> {
        let mut offers = self.offers(cx, vec![product_id.to_owned()]).await?;
        offers.remove(product_id).ok_or_else(|| Error::not_found("product", product_id))
    }

    /// For readers, who would rather have an old price than none.
    async fn offers_in_time(&self, cx: &Call, lines: &[Line]) -> Result<Offers> {
        let mut ask = cx.clone();
        let limit = Instant::now() + self.offers_timeout;
        ask.deadline = Some(cx.deadline.map_or(limit, |d| d.min(limit)));
        match self.offers(&ask, lines.iter().map(|l| l.product_id.clone()).collect()).await {
            Ok(offers) => Ok(Some(offers)),
            Err(e) if matches!(e.code(), Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) => {
                tracing::warn!(error = ?e, "a cart is answered without the catalogue");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

/// What found no room, as it is answered.
fn left_out(merged: &domain::merge::Merged) -> Vec<wire::LeftOut> {
    let shown = |(product_id, n): &(String, i64)| wire::LeftOut {
        product_id: product_id.clone(),
        quantity: i32::try_from(*n).unwrap_or(i32::MAX),
    };
    merged.left_out.iter().map(shown).collect()
}
