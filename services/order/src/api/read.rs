//! Orders for those whom they concern.

use crate::{
    Orders,
    domain::{
        Order, timeline,
        view::{View, seen, view},
        won,
    },
    store,
};
use jangteo_core::{Call, Error, Page, Result, from_micros};
use kit::db::Paged;
use proto::jangteo::order::v1::{self as wire, OrderRole};
use std::collections::HashMap;

impl Orders {
    pub(super) async fn get(&self, cx: Call, req: wire::GetOrderRequest) -> Result<wire::Order> {
        let now = store::order::find(self.db.primary(), &req.order_id).await?.wire()?;
        let now = seen(&cx, now)?;
        if let Some(time) = &req.as_of {
            let time = crate::saga::instant(Some(time));
            let then = store::order::as_of(&self.db, &req.order_id, time).await?;
            let then = then.ok_or_else(|| Error::not_found("order", &req.order_id).with("as_of", from_micros(time)))?;
            return seen(&cx, then.wire());
        }
        self.with_texts(now).await
    }

    /// With the words of its complaints, for those who may see them.
    async fn with_texts(&self, mut order: wire::Order) -> Result<wire::Order> {
        if order.parts.iter().all(|p| p.dispute.is_none()) {
            return Ok(order);
        }
        let mut texts = store::dispute::texts(self.db.primary(), &self.sealer, &order.order_id).await?;
        for p in &mut order.parts {
            if let (Some(dispute), Some(text)) = (&mut p.dispute, texts.remove(&p.part)) {
                dispute.text = text;
            }
        }
        Ok(order)
    }

    pub(super) async fn list(&self, cx: Call, req: wire::ListOrdersRequest) -> Result<wire::ListOrdersResponse> {
        let user = cx.user_id()?;
        if req.role() == OrderRole::Platform && !cx.has_role("admin") && !cx.has_role("moderator") {
            return Err(Error::denied("ROLE_REQUIRED", "needs one of the roles moderator, admin"));
        }
        let filter = wire::ListOrdersRequest { page_size: 0, page_token: String::new(), ..req.clone() };
        let bound = format!("orders {user} {filter:?}");
        let page = &self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = match req.role() {
            OrderRole::Seller => self.sold(user, &req.status, page).await?,
            OrderRole::Platform => store::order::page(&self.db, None, &req.status, page).await?,
            OrderRole::Unspecified | OrderRole::Buyer => {
                store::order::page(&self.db, Some(user), &req.status, page).await?
            }
        };
        Ok(wire::ListOrdersResponse {
            orders: found.rows.iter().map(|row| seen(&cx, row.wire()?)).collect::<Result<_>>()?,
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }

    /// The orders of which somebody sold a part.
    async fn sold(&self, seller_id: &str, statuses: &[i32], page: &Page) -> Result<Paged<store::order::Model>> {
        let parts = store::part::page(&self.db, seller_id, statuses, page).await?;
        let ids: Vec<_> = parts.rows.into_iter().map(|p| p.order_id).collect();
        let found = store::order::all_of(self.db.read(), &ids).await?;
        let mut by_id: HashMap<_, _> = found.into_iter().map(|row| (row.order_id.clone(), row)).collect();
        Ok(Paged { rows: ids.iter().filter_map(|id| by_id.remove(id)).collect(), next: parts.next })
    }

    pub(super) async fn timeline(
        &self,
        cx: Call,
        req: wire::ListOrderTimelineRequest,
    ) -> Result<wire::ListOrderTimelineResponse> {
        let id = &req.order_id;
        let (order, version) = self.db.load::<Order>(id).await?;
        if version == 0 {
            return Err(Error::not_found("order", id));
        }
        let seller = view(&cx, &order.buyer_id, order.parts.iter().map(|p| &p.seller_id))? == View::Seller;
        let bound = format!("timeline {id}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let after = page.after.first().and_then(|v| v.parse().ok()).unwrap_or(0);
        let events = self.db.history("order", id, after, page.size + 1).await?;
        let more = events.len() as u64 > page.size;
        let shown = &events[..events.len().min(page.size as usize)];
        let korean = cx.locale.as_deref().is_none_or(|l| !l.to_lowercase().starts_with("en"));
        let mut entries = Vec::with_capacity(shown.len());
        for envelope in shown {
            let entry = timeline::entry(&order, envelope, korean)?;
            entries.extend(match seller {
                true => entry.and_then(|e| timeline::for_seller(&order, cx.user_id().unwrap_or_default(), e)),
                false => entry,
            });
        }
        let last = shown.last().filter(|_| more).map(|e| vec![e.version.to_string()]);
        let next_page_token = last.map_or_else(String::new, |last| self.pages.next(&bound, &last));
        Ok(wire::ListOrderTimelineResponse { entries, next_page_token })
    }

    pub(super) async fn statistics(
        &self,
        cx: Call,
        req: wire::GetOrderStatisticsRequest,
    ) -> Result<wire::OrderStatistics> {
        let user = cx.user_id()?;
        let months = months(&req, store::order::month(jangteo_core::micros(cx.now)))?;
        let count = |c: store::order::Count| wire::OrderCount {
            month: format!("{:04}-{:02}", c.month / 100, c.month % 100),
            status: i32::try_from(c.status).unwrap_or(0),
            count: c.count,
            total: Some(won(c.total)),
            refunded: Some(won(c.refunded)),
        };
        let bought = store::order::counts(self.db.read(), user, months).await?;
        let sold = store::part::counts(self.db.read(), user, months).await?;
        Ok(wire::OrderStatistics {
            bought: bought.into_iter().map(count).collect(),
            sold: sold.into_iter().map(count).collect(),
        })
    }

    /// Read where it is written: whoever asks is about to decide on it.
    pub(super) async fn open_parts(&self, req: wire::CountOpenPartsRequest) -> Result<wire::OpenParts> {
        let conn = self.db.primary();
        Ok(wire::OpenParts {
            bought: store::part::open_of_buyer(conn, &req.user_id).await?,
            sold: store::part::open_of_seller(conn, &req.user_id).await?,
        })
    }

    pub(super) async fn trade(&self, req: wire::GetTradeRequest) -> Result<wire::Trade> {
        let order = store::order::find(self.db.primary(), &req.order_id).await?.wire()?;
        let part = order.parts.into_iter().find(|p| p.part == req.part);
        let p = part.ok_or_else(|| Error::not_found("part", req.part).with("order_id", &req.order_id))?;
        Ok(wire::Trade {
            order_id: order.order_id,
            part: p.part,
            buyer_id: order.buyer_id,
            status: p.status,
            product_ids: p.lines.into_iter().map(|l| l.product_id).collect(),
            seller_id: p.seller_id,
        })
    }
}

/// So many months may be counted at once.
const MOST_MONTHS: i64 = 24;

/// The first and the last month of a request, as 202601; `now` is this month.
fn months(req: &wire::GetOrderStatisticsRequest, now: i64) -> Result<(i64, i64)> {
    let to = if req.to_month.is_empty() { now } else { month("to_month", &req.to_month)? };
    let from = if req.from_month.is_empty() { back(to, 11) } else { month("from_month", &req.from_month)? };
    let span = index(to) - index(from);
    if !(0..MOST_MONTHS).contains(&span) {
        let text = format!("must not be before from_month, nor more than {MOST_MONTHS} months in all");
        return Err(Error::invalid("to_month", "OUT_OF_RANGE", text));
    }
    Ok((from, to))
}

fn month(field: &str, text: &str) -> Result<i64> {
    let parsed = text.split_once('-').and_then(|(y, m)| {
        let digits = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
        let (year, month): (i64, i64) = (y.parse().ok()?, m.parse().ok()?);
        (digits(y, 4) && digits(m, 2) && (1..=12).contains(&month)).then_some(year * 100 + month)
    });
    parsed.ok_or_else(|| Error::invalid(field, "INVALID_MONTH", "must be a year and a month, 2026-01"))
}

/// Months since the year 0.
fn index(month: i64) -> i64 {
    month / 100 * 12 + month % 100 - 1
}

fn back(month: i64, by: i64) -> i64 {
    let i = index(month) - by;
    i.div_euclid(12) * 100 + i.rem_euclid(12) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(from: &str, to: &str) -> Result<(i64, i64)> {
        let req = wire::GetOrderStatisticsRequest { from_month: from.into(), to_month: to.into() };
        months(&req, 202_611)
    }

    #[test]
    fn a_year_is_counted_unless_said_otherwise() {
        assert_eq!(ask("", "").unwrap(), (202_512, 202_611));
        assert_eq!(ask("", "2026-01").unwrap(), (202_502, 202_601));
        assert_eq!(ask("2025-01", "2026-12").unwrap(), (202_501, 202_612));
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for (from, to) in [("2026-13", ""), ("26-01", ""), ("2026-1", ""), ("", "x"), ("2026-12", "2026-01")] {
            assert_eq!(ask(from, to).unwrap_err().code(), jangteo_core::Code::InvalidArgument, "{from} {to}");
        }
        assert!(ask("2024-11", "2026-11").is_err());
    }
}
