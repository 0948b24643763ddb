//! From cart to cart: a guest's into a person's, and copies for others.

use super::{Opened, fresh_token, guest_hash, left_out};
use crate::{
    Carts,
    domain::{
        Fault, Line, admit,
        merge::{self, Merged},
        token::{self, Purpose},
    },
    store::{
        self,
        cart::{Model, Whose},
    },
};
use jangteo_core::{Call, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::cart::v1::{CartShare, MergeCartResponse};

fn share_hash(share_token: &str) -> Result<String> {
    token::hash(Purpose::Share, share_token).ok_or_else(|| Fault::ShareNotFound.into())
}

/// Puts lines into a cart that is locked.
async fn put(tx: &Tx, cart_id: &str, coming: Vec<Line>, buyer: Option<&str>) -> Result<MergeCartResponse> {
    let there = store::line::all(tx, cart_id).await?;
    let merged = merge::merge(&there, coming, buyer);
    let answer = MergeCartResponse { cart: None, left_out: left_out(&merged) };
    store::line::put(tx, cart_id, merged.lines).await?;
    Ok(answer)
}

impl Carts {
    pub(super) async fn merge(&self, cx: Call, guest_token: &str) -> Result<MergeCartResponse> {
        let user = cx.user_id()?;
        let hash = &guest_hash(guest_token)?;
        let mine = &Whose::Person(user.to_owned());
        let write = async |tx: Tx| {
            let cart_id = store::cart::open(&tx, mine, tx.now()).await?;
            let Some(guest_id) = store::cart::take_guest(&tx, hash, user).await? else {
                return Ok(MergeCartResponse::default());
            };
            let coming = store::line::all(&tx, &guest_id).await?;
            store::line::remove(&tx, &guest_id, None).await?;
            put(&tx, &cart_id, coming, Some(user)).await
        };
        let done = self.db.write(&cx, write).await?;
        crash_point!("cart.merge.after_commit");
        Ok(MergeCartResponse { cart: Some(self.show_of(&cx, mine).await?), ..done })
    }

    pub(super) async fn share(&self, cx: Call) -> Result<CartShare> {
        let user = cx.user_id()?;
        let (share_token, hash) = fresh_token(Purpose::Share)?;
        let (hash, expire) = (&hash, cx.now + self.share_ttl);
        let write = async |tx: Tx| {
            let cart_id = store::cart::lock(&tx, user).await?.ok_or(Fault::CartEmpty)?;
            let lines = store::line::all(&tx, &cart_id).await?;
            if lines.is_empty() {
                return Err(Fault::CartEmpty.into());
            }
            let copy_id = store::cart::share(&tx, user, hash, expire).await?;
            store::line::put(&tx, &copy_id, lines).await
        };
        self.db.write(&cx, write).await?;
        let path = format!("/v1/carts/shared/{share_token}");
        Ok(CartShare { share_token, path, expire_time: Some(proto::timestamp(expire)) })
    }

    pub(super) async fn shared(&self, cx: &Call, share_token: &str) -> Result<Model> {
        store::cart::shared(self.db.primary(), &share_hash(share_token)?, cx.now).await
    }

    pub(super) async fn copy(&self, cx: Call, share_token: &str, guest_token: &str) -> Result<MergeCartResponse> {
        let row = self.shared(&cx, share_token).await?;
        let Opened { cx, whose, guest_token } = self.whose_or_new(cx, guest_token)?;
        let wanted = store::line::all(self.db.primary(), &row.cart_id).await?;
        let offers = self.offers(&cx, wanted.iter().map(|l| l.product_id.clone()).collect()).await?;
        let (mut coming, mut gone) = (Vec::new(), Merged::default());
        for line in wanted {
            match offers.get(&line.product_id).filter(|o| admit(o, cx.user_id().ok()).is_ok()) {
                Some(offer) => coming.push(Line::of(offer, line.quantity, micros(cx.now))),
                None => gone.left_out.push((line.product_id, line.quantity)),
            }
        }
        let (whose, coming, gone, expire) = (&whose, &coming, &left_out(&gone), cx.now + self.guest_ttl);
        let write = async |tx: Tx| {
            let cart_id = store::cart::open(&tx, whose, expire).await?;
            let mut done = put(&tx, &cart_id, coming.clone(), tx.call().user_id().ok()).await?;
            done.left_out.extend_from_slice(gone);
            Ok(done)
        };
        let mut done = self.db.write(&cx, write).await?;
        let mut cart = self.show_of(&cx, whose).await?;
        cart.guest_token = guest_token;
        done.cart = Some(cart);
        Ok(done)
    }

    pub(super) async fn unshare(&self, cx: Call, share_token: &str) -> Result<()> {
        let hash = &share_hash(share_token)?;
        let write = async |tx: Tx| {
            let row = store::cart::shared(&tx, hash, tx.now()).await?;
            tx.call().owns(row.shared_by.as_deref().unwrap_or_default())?;
            store::cart::delete(&tx, vec![row.cart_id]).await
        };
        self.db.write(&cx, write).await
    }
}
