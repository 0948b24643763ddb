//! Wishlists.

use crate::{
    Carts,
    domain::{Line, price},
    store::{self, cart::Whose},
};
use jangteo_core::{Call, Result, micros};
use kit::db::Tx;
use proto::jangteo::cart::v1::{ListWishesRequest, ListWishesResponse, Wish};

impl Carts {
    pub(super) async fn wishes(&self, cx: Call, req: ListWishesRequest) -> Result<ListWishesResponse> {
        let user = cx.user_id()?;
        let bound = format!("wishes {user}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = store::wish::page(&self.db, user, &page).await?.map(Line::from);
        let offers = self.offers_in_time(&cx, &found.rows).await?;
        Ok(ListWishesResponse {
            stale: offers.is_none(),
            wishes: found.rows.into_iter().map(|line| price::wish(line, &offers)).collect(),
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }

    /// A product that is on no list must be there at least.
    pub(super) async fn wish(&self, cx: &Call, product_id: &str) -> Result<Wish> {
        match store::wish::find(self.db.primary(), cx.user_id()?, product_id).await? {
            Some(line) => {
                let offers = self.offers_in_time(cx, std::slice::from_ref(&line)).await?;
                Ok(price::wish(line, &offers))
            }
            None => Ok(price::not_wished(&self.offer(cx, product_id).await?)),
        }
    }

    pub(super) async fn make_wish(&self, cx: Call, product_id: &str) -> Result<Wish> {
        let user = cx.user_id()?;
        let offer = self.offer(&cx, product_id).await?;
        let (line, lock) = (&Line::of(&offer, 1, micros(cx.now)), &Whose::Person(user.to_owned()));
        let write = async |tx: Tx| {
            store::cart::open(&tx, lock, tx.now()).await?;
            store::wish::insert(&tx, user, line.clone()).await
        };
        self.db.write(&cx, write).await?;
        self.wish(&cx, product_id).await
    }

    pub(super) async fn drop_wish(&self, cx: Call, product_id: &str) -> Result<Wish> {
        let user = cx.user_id()?;
        let gone = self.db.write(&cx, async |tx: Tx| store::wish::delete(&tx, user, product_id).await).await?;
        match gone {
            true => Ok(Wish { product_id: product_id.to_owned(), wished: Some(false), ..Wish::default() }),
            false => self.wish(&cx, product_id).await,
        }
    }
}
