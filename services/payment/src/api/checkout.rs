//! Pages of a charge that its buyer confirms in a provider's window: one that opens it, and where it sends the browser back to.

use crate::{
    Payments,
    checkout::{document, escaped, html, is_web, link, see_other},
    domain::charge::State,
    provider::{About, Charge, Outcome, Page, Standing},
    store::{self, charge::Model},
    unkeyed,
};
use jangteo_core::{Call, Error, Result, micros};
use kit::db::Tx;
use proto::google::api::HttpBody;

impl Payments {
    pub(super) async fn checkout_page(&self, cx: &Call, token: &str) -> Result<HttpBody> {
        let row = store::charge::at_checkout(self.db.primary(), token).await?;
        let (charge, page) = self.window(cx, &row)?;
        if row.awaits_return()? { Ok(html(opening(&charge, &page))) } else { self.onwards(&row) }
    }

    /// Takes what a browser came back with. It is written down before the provider is asked, so whoever comes second, at the
    /// same time or after a crash, asks for nothing.
    pub(super) async fn come_back(&self, cx: &Call, token: &str, form: &[u8]) -> Result<HttpBody> {
        let row = store::charge::at_checkout(self.db.primary(), token).await?;
        let (charge, _) = self.window(cx, &row)?;
        if let Some(slip) = self.router.named(&row.provider)?.returned(&charge, form)
            && self.keep_slip(cx, &row, &slip).await?
        {
            self.confirm(cx, &row, &charge, &slip).await?;
        }
        let row = store::charge::at_checkout(self.db.primary(), token).await?;
        if row.awaits_return()? { Ok(html(not_through(&charge))) } else { self.onwards(&row) }
    }

    /// The charge, and the form that opens its provider's window.
    fn window(&self, cx: &Call, row: &Model) -> Result<(Charge, Page)> {
        let charge = row.charge(&self.cfg.return_url, &self.cfg.public_url);
        let page = self.router.named(&row.provider)?.page(&charge, cx.now);
        let page = page.ok_or_else(|| Error::not_found("checkout", &row.checkout_token))?;
        Ok((charge, page))
    }

    /// `false`: nobody waits for it any more.
    async fn keep_slip(&self, cx: &Call, row: &Model, slip: &str) -> Result<bool> {
        let about = &About::Key(row.key.clone());
        let write = async |tx: Tx| {
            store::payment::must_lock(&tx, &row.order_id).await?;
            let Some(mut row) = store::charge::about(&tx, &row.provider, about).await? else { return Ok(false) };
            if !row.awaits_return()? {
                return Ok(false);
            }
            slip.clone_into(&mut row.slip);
            row.confirm_time = micros(tx.now());
            store::charge::change(&tx, row).await?;
            Ok(true)
        };
        self.db.write(&unkeyed(cx), write).await
    }

    /// Has the provider go on with a charge whose slip was written down by this very call.
    async fn confirm(&self, cx: &Call, row: &Model, charge: &Charge, slip: &str) -> Result<()> {
        let provider = self.router.named(&row.provider)?;
        let answer = provider.confirm(charge, slip);
        let seen = match self.router.ask(&**provider, "confirm", self.limit(cx), answer).await {
            Outcome::Done(taken) => Standing::Authorised { provider_ref: taken.provider_ref },
            Outcome::Declined(why) => Standing::Declined(why),
            Outcome::NotTaken(why) => {
                tracing::warn!(key = row.key, provider = row.provider, why, "a provider was not told to go on");
                return self.drop_slip(cx, row, slip).await;
            }
            Outcome::Unknown(why) => {
                tracing::warn!(key = row.key, provider = row.provider, why, "a provider has not said");
                return self.postpone(cx, row).await;
            }
            Outcome::ActionRequired { .. } => return self.postpone(cx, row).await,
        };
        self.learn(cx, &row.provider, &About::Key(row.key.clone()), &seen).await
    }

    /// Nothing was sent: the buyer may come back once more.
    async fn drop_slip(&self, cx: &Call, row: &Model, slip: &str) -> Result<()> {
        let about = &About::Key(row.key.clone());
        let write = async |tx: Tx| {
            store::payment::must_lock(&tx, &row.order_id).await?;
            let found = store::charge::about(&tx, &row.provider, about).await?;
            let Some(mut row) = found.filter(|row| row.slip == slip) else { return Ok(()) };
            row.slip.clear();
            row.confirm_time = 0;
            store::charge::change(&tx, row).await
        };
        self.db.write(&unkeyed(cx), write).await
    }

    /// Back to the shop, which asks how the payment stands.
    fn onwards(&self, row: &Model) -> Result<HttpBody> {
        if is_web(&self.cfg.return_url) {
            return Ok(see_other(&self.cfg.return_url));
        }
        let said = match row.state()? {
            State::Authorised | State::Captured => "결제되었습니다.",
            State::Asked | State::ActionRequired => "결제를 확인하고 있습니다.",
            State::Voiding | State::Voided | State::Declined | State::NotTaken => "결제되지 않았습니다.",
        };
        Ok(html(document("ko", "결제", &format!("<p>{said}</p>"))))
    }
}

fn opening(charge: &Charge, page: &Page) -> String {
    let input = |(name, value): &(&str, String)| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value))
    };
    let (inputs, url) = (page.fields.iter().map(input).collect::<String>(), escaped(&page.url));
    let body = format!(
        "<p>주문 {}</p><p><strong>{}원</strong></p>\
         <form method=\"post\" action=\"{url}\" accept-charset=\"{}\">{inputs}<button>결제하기</button></form>",
        escaped(&charge.order_id),
        charge.amount.minor,
        page.charset,
    );
    document("ko", "결제", &body)
}

fn not_through(charge: &Charge) -> String {
    let again = link(&charge.checkout_url, "다시 시도하기");
    document(
        "ko",
        "결제",
        &format!("<p>결제되지 않았습니다.{again}{}</p>", link(&charge.return_url, "상점으로 돌아가기")),
    )
}
