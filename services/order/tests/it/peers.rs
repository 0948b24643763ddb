//! The other services as an order sees them: small, strict, remembering every call, and failing when told to.

use jangteo_core::{Code, Error, Result};
use proto::{
    Client,
    google::r#type::Money,
    jangteo::{
        catalog::v1::{self as catalog, Offer, ProductStatus, StockHold, StockHoldStatus},
        payment::v1::{self as payment, Payment, PaymentStatus, payment_source::Kind as Source},
        shipping::v1 as shipping,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use testbed::Fake;

/// How a call goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// Nothing happens.
    Down,
    /// It happens, and the answer is lost.
    Lost,
    /// It happens, and the answer never comes.
    Hangs,
    /// It happens, and the answer comes a fifth of a second later.
    Slow,
    /// It is refused with this reason.
    Refused(&'static str),
}

#[derive(Default)]
pub struct State {
    /// Methods in the order of the calls.
    pub calls: Vec<&'static str>,
    pub trouble: HashMap<&'static str, VecDeque<Trouble>>,
    pub offers: BTreeMap<String, Offer>,
    pub holds: HashMap<String, (StockHoldStatus, BTreeMap<String, i32>)>,
    returned: BTreeSet<(String, String)>,
    pub payments: HashMap<String, Payment>,
    /// How the next attempts of everybody's end; AUTHORISED when there is nothing.
    pub outcomes: VecDeque<PaymentStatus>,
    pub escrow: BTreeMap<String, i64>,
    pub sellers: BTreeMap<String, i64>,
    pub buyers: BTreeMap<String, i64>,
    refunds: BTreeMap<String, i64>,
    settlements: BTreeMap<(String, i32), i64>,
    /// The provider has let go of what it had set aside.
    pub let_go: bool,
    /// Given back by staff, by order and part.
    pub direct: BTreeMap<(String, i32), i64>,
    pub shipments: BTreeMap<(String, i32), &'static str>,
    pub sources: Vec<Source>,
}

#[derive(Clone, Default)]
pub struct Market(Arc<Mutex<State>>);

pub fn won(units: i64) -> Money {
    Money { currency_code: "KRW".into(), units, nanos: 0 }
}

fn refuse(reason: &'static str) -> Error {
    Error::new(Code::FailedPrecondition, reason, reason.to_lowercase())
}

impl Market {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn calls(&self, method: &str) -> usize {
        self.state().calls.iter().filter(|m| **m == method).count()
    }

    pub fn left(&self, product_id: &str) -> i32 {
        self.state().left(product_id)
    }

    pub fn escrow(&self, order_id: &str) -> i64 {
        self.state().escrow[order_id]
    }

    /// What a buyer got back of an order.
    pub fn back(&self, order_id: &str) -> i64 {
        self.state().buyers[order_id]
    }

    pub fn earned(&self, seller_id: &str) -> i64 {
        self.state().sellers.get(seller_id).copied().unwrap_or(0)
    }

    pub fn fail(&self, method: &'static str, trouble: &[Trouble]) {
        self.state().trouble.entry(method).or_default().extend(trouble.iter().cloned());
    }

    /// Answers requests with `f` unless there is trouble.
    fn on<Q, R>(&self, fake: Fake, method: &'static str, f: fn(&mut State, Q) -> Result<R>) -> Fake
    where
        Q: prost::Message + prost::Name + Default + 'static,
        R: prost::Message + 'static,
    {
        let this = self.clone();
        fake.on(move |req: Q| {
            let (trouble, done) = {
                let mut state = this.state();
                state.calls.push(method);
                let trouble = state.trouble.get_mut(method).and_then(VecDeque::pop_front);
                let skipped = matches!(trouble, Some(Trouble::Down | Trouble::Refused(_)));
                (trouble, (!skipped).then(|| f(&mut state, req)))
            };
            async move {
                match trouble {
                    None => done.expect("it was done"),
                    Some(Trouble::Slow) => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        done.expect("it was done")
                    }
                    Some(Trouble::Refused(reason)) => Err(refuse(reason)),
                    Some(Trouble::Hangs) => {
                        tokio::time::sleep(Duration::from_secs(30)).await;
                        Err(Error::unavailable(method))
                    }
                    Some(Trouble::Down | Trouble::Lost) => Err(Error::unavailable(method)),
                }
            }
        })
    }

    pub fn peers(&self) -> order::Peers {
        let fake = self.on(Fake::new(), "GetOffers", get_offers);
        let fake = self.on(fake, "HoldStock", hold);
        let fake = self.on(fake, "ConfirmStock", confirm);
        let fake = self.on(fake, "ReleaseStock", release);
        let catalog = self.on(fake, "ReturnStock", give_back).channel();
        let fake = self.on(Fake::new(), "Authorise", authorise);
        let fake = self.on(fake, "Capture", capture);
        let fake = self.on(fake, "Void", void);
        let fake = self.on(fake, "RefundOrder", refund);
        let fake = self.on(fake, "Settle", settle);
        let payment = self.on(fake, "GetEscrows", escrows).channel();
        let fake = self.on(Fake::new(), "QuoteShipping", quote);
        let fake = self.on(fake, "PrepareShipments", prepare);
        let fake = self.on(fake, "ReadyShipments", ready);
        let shipping = self.on(fake, "CancelShipments", cancel).channel();
        order::Peers { catalog: Client::new(catalog), payment: Client::new(payment), shipping: Client::new(shipping) }
    }
}

impl State {
    pub fn offer(&mut self, product_id: &str, seller_id: &str, price: i64, stock: i32) {
        let offer = Offer {
            product_id: product_id.into(),
            seller_id: seller_id.into(),
            title: format!("product {product_id}"),
            price: Some(won(price)),
            status: ProductStatus::OnSale.into(),
            available: Some(stock),
            region_id: "seoul".into(),
            ..Offer::default()
        };
        self.offers.insert(product_id.into(), offer);
    }

    pub fn left(&self, product_id: &str) -> i32 {
        self.offers[product_id].available()
    }

    fn take(&mut self, lines: &BTreeMap<String, i32>, sign: i32) {
        for (id, n) in lines {
            let offer = self.offers.get_mut(id).unwrap();
            offer.available = Some(offer.available() + sign * n);
        }
    }

    /// Marks a hold as run out.
    pub fn run_out(&mut self, hold_id: &str) {
        let (status, lines) = self.holds.get_mut(hold_id).unwrap();
        assert_eq!(*status, StockHoldStatus::Held);
        *status = StockHoldStatus::Expired;
        let lines = lines.clone();
        self.take(&lines, 1);
    }
}

fn lines(lines: Vec<catalog::StockLine>) -> BTreeMap<String, i32> {
    lines.into_iter().map(|l| (l.product_id, l.quantity)).collect()
}

fn held(hold_id: String, status: StockHoldStatus) -> StockHold {
    StockHold { hold_id, status: status.into(), expire_time: None }
}

fn get_offers(s: &mut State, req: catalog::GetOffersRequest) -> Result<catalog::GetOffersResponse> {
    let offers = req.product_ids.iter().filter_map(|id| s.offers.get(id).cloned()).collect();
    Ok(catalog::GetOffersResponse { offers })
}

fn hold(s: &mut State, req: catalog::HoldStockRequest) -> Result<StockHold> {
    let wanted = lines(req.lines);
    match s.holds.get(&req.hold_id).map(|h| h.0) {
        Some(StockHoldStatus::Released) => return Err(refuse("HOLD_RELEASED")),
        Some(status @ (StockHoldStatus::Held | StockHoldStatus::Confirmed)) => return Ok(held(req.hold_id, status)),
        _ => {}
    }
    if let Some((id, _)) = wanted.iter().find(|(id, n)| s.left(id) < **n) {
        return Err(refuse("OUT_OF_STOCK").with("product_id", id).with("left", s.left(id)));
    }
    s.take(&wanted, -1);
    s.holds.insert(req.hold_id.clone(), (StockHoldStatus::Held, wanted));
    Ok(held(req.hold_id, StockHoldStatus::Held))
}

fn confirm(s: &mut State, req: catalog::ConfirmStockRequest) -> Result<StockHold> {
    let hold = s.holds.get_mut(&req.hold_id).ok_or_else(|| refuse("HOLD_NOT_FOUND"))?;
    match hold.0 {
        StockHoldStatus::Expired => return Err(refuse("HOLD_EXPIRED")),
        StockHoldStatus::Released => return Err(refuse("HOLD_RELEASED")),
        _ => hold.0 = StockHoldStatus::Confirmed,
    }
    Ok(held(req.hold_id, StockHoldStatus::Confirmed))
}

fn release(s: &mut State, req: catalog::ReleaseStockRequest) -> Result<StockHold> {
    let had = s.holds.get(&req.hold_id).cloned();
    match had {
        Some((StockHoldStatus::Confirmed, _)) => return Err(refuse("HOLD_CONFIRMED")),
        Some((StockHoldStatus::Held, lines)) => s.take(&lines, 1),
        _ => {}
    }
    s.holds.insert(req.hold_id.clone(), (StockHoldStatus::Released, lines(req.lines)));
    Ok(held(req.hold_id, StockHoldStatus::Released))
}

fn give_back(s: &mut State, req: catalog::ReturnStockRequest) -> Result<()> {
    assert_eq!(s.holds[&req.hold_id].0, StockHoldStatus::Confirmed, "only what was sold comes back");
    for (id, n) in lines(req.lines) {
        if s.returned.insert((req.hold_id.clone(), id.clone())) {
            s.take(&BTreeMap::from([(id, n)]), 1);
        }
    }
    Ok(())
}

fn authorise(s: &mut State, req: payment::AuthoriseRequest) -> Result<Payment> {
    s.sources.extend(req.source.and_then(|s| s.kind));
    let before = s.payments.get(&req.order_id).cloned();
    if let Some(p) = &before
        && (p.attempt >= req.attempt || matches!(p.status(), PaymentStatus::Voided | PaymentStatus::Pending))
    {
        return Ok(p.clone());
    }
    let status = s.outcomes.pop_front().unwrap_or(PaymentStatus::Authorised);
    let mut p = Payment {
        payment_id: format!("pay_{}", &req.order_id[4..]),
        order_id: req.order_id.clone(),
        buyer_id: req.buyer_id,
        amount: req.amount,
        points: req.points,
        attempt: req.attempt,
        method_label: "VISA ····4242".into(),
        ..Payment::default()
    };
    p.set_status(status);
    match status {
        PaymentStatus::ActionRequired => p.redirect_url = "https://bank.example/3ds".into(),
        PaymentStatus::Declined => p.decline_reason = "INSUFFICIENT_FUNDS".into(),
        _ => {}
    }
    s.payments.insert(req.order_id, p.clone());
    Ok(p)
}

fn capture(s: &mut State, req: payment::CaptureRequest) -> Result<Payment> {
    assert_eq!(s.holds[&req.order_id].0, StockHoldStatus::Confirmed, "nothing is charged for what is not sold");
    let p = s.payments.get_mut(&req.order_id).ok_or_else(|| refuse("PAYMENT_NOT_FOUND"))?;
    match p.status() {
        PaymentStatus::Authorised if std::mem::take(&mut s.let_go) => {
            p.set_status(PaymentStatus::Declined);
            p.decline_reason = "CARD_DECLINED".into();
        }
        PaymentStatus::Authorised => {
            p.set_status(PaymentStatus::Captured);
            p.captured = p.amount.clone();
            let amount = p.amount.as_ref().unwrap().units;
            assert!(s.escrow.insert(req.order_id.clone(), amount).is_none(), "charged twice");
        }
        PaymentStatus::Captured | PaymentStatus::Refunded => {}
        PaymentStatus::Voided => return Err(refuse("PAYMENT_VOIDED")),
        _ => return Err(refuse("NOT_AUTHORISED")),
    }
    Ok(s.payments[&req.order_id].clone())
}

fn void(s: &mut State, req: payment::VoidRequest) -> Result<Payment> {
    let p = s.payments.entry(req.order_id.clone()).or_default();
    if matches!(p.status(), PaymentStatus::Captured | PaymentStatus::Refunded) {
        return Err(refuse("ALREADY_CAPTURED"));
    }
    p.order_id = req.order_id;
    p.set_status(PaymentStatus::Voided);
    Ok(p.clone())
}

fn refund(s: &mut State, req: payment::RefundOrderRequest) -> Result<payment::Refund> {
    let direct = s.direct.get(&(req.order_id.clone(), req.part)).copied().unwrap_or(0);
    let amount = req.amount.as_ref().unwrap().units - direct;
    if let Some(before) = s.refunds.insert(req.refund_id.clone(), amount) {
        assert_eq!(before, amount, "the same refund with another amount");
    } else {
        let escrow = s.escrow.get_mut(&req.order_id).unwrap();
        *escrow -= amount;
        assert!(*escrow >= 0, "refunded more than there is");
        *s.buyers.entry(req.order_id.clone()).or_default() += amount;
    }
    Ok(payment::Refund { refund_id: req.refund_id, amount: Some(won(amount)), ..Default::default() })
}

fn settle(s: &mut State, req: payment::SettleRequest) -> Result<payment::Settlement> {
    let key = (req.order_id.clone(), req.part);
    let amount = req.amount.as_ref().unwrap().units - s.direct.get(&key).copied().unwrap_or(0);
    if s.settlements.insert(key, amount).is_none() {
        let escrow = s.escrow.get_mut(&req.order_id).unwrap();
        *escrow -= amount;
        assert!(*escrow >= 0, "settled more than there is");
        *s.sellers.entry(req.seller_id.clone()).or_default() += amount;
    }
    Ok(payment::Settlement { amount: Some(won(amount)), seller_id: req.seller_id, ..Default::default() })
}

fn escrows(s: &mut State, req: payment::GetEscrowsRequest) -> Result<payment::GetEscrowsResponse> {
    let found = req.order_ids.into_iter().filter_map(|id| {
        let balance = Some(won(*s.escrow.get(&id)?));
        Some(payment::Escrow { order_id: id, balance })
    });
    Ok(payment::GetEscrowsResponse { escrows: found.collect() })
}

/// Three thousand won a part; meet-ups are free, and what goes abroad is not taken.
fn quote(_: &mut State, req: shipping::QuoteShippingRequest) -> Result<shipping::QuoteShippingResponse> {
    if req.parts.iter().any(|p| p.option() == shipping::ShippingOption::International) {
        return Err(refuse("OPTION_UNAVAILABLE").with("part", 1));
    }
    let fee = |p: &shipping::ShipmentSpec| match p.option() {
        shipping::ShippingOption::MeetUp => 0,
        _ => 3000,
    };
    let parts = req.parts.iter().map(|p| shipping::PartQuote { part: p.part, fee: Some(won(fee(p))) }).collect();
    Ok(shipping::QuoteShippingResponse { parts })
}

fn prepare(s: &mut State, req: shipping::PrepareShipmentsRequest) -> Result<shipping::PrepareShipmentsResponse> {
    for p in &req.parts {
        let shipment = s.shipments.entry((req.order_id.clone(), p.part)).or_insert("prepared");
        if *shipment == "cancelled" {
            return Err(refuse("SHIPMENT_CANCELLED"));
        }
    }
    Ok(Default::default())
}

fn ready(s: &mut State, req: shipping::ReadyShipmentsRequest) -> Result<shipping::ReadyShipmentsResponse> {
    assert!(s.escrow.contains_key(&req.order_id), "nothing ships before it is paid");
    for (_, status) in s.shipments.iter_mut().filter(|(k, _)| k.0 == req.order_id) {
        if *status == "prepared" {
            *status = "ready";
        }
    }
    Ok(Default::default())
}

fn cancel(s: &mut State, req: shipping::CancelShipmentsRequest) -> Result<()> {
    let mine = |k: &(String, i32)| k.0 == req.order_id && (req.parts.is_empty() || req.parts.contains(&k.1));
    if s.shipments.iter().any(|(k, status)| mine(k) && *status == "underway") {
        return Err(refuse("SHIPMENT_UNDERWAY"));
    }
    s.shipments.iter_mut().filter(|(k, _)| mine(k)).for_each(|(_, status)| *status = "cancelled");
    for part in req.parts.iter().chain(if req.parts.is_empty() { [1].iter() } else { [].iter() }) {
        s.shipments.entry((req.order_id.clone(), *part)).or_insert("cancelled");
    }
    Ok(())
}
