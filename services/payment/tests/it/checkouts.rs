//! Payments that are confirmed in a window which takes a form and sends one back: KG Inicis behind the whole service.

use crate::{
    providers::{
        fake::{Fake, Trouble},
        inicis::server::{self, Server, come_back, form_of, standing},
    },
    support::*,
};
use futures::future::join_all;
use jangteo_core::{Clock, ManualClock, Result, SystemClock};
use payment::{
    Config,
    provider::{Charge, Cost, Instrument, inicis},
};
use prost::Message;
use proto::{
    google::api::HttpBody,
    jangteo::{
        options::v1::HttpReply,
        payment::v1::{self as wire, PaymentStatus as Status, payment_service::Api, payment_source::Kind as Source},
    },
};
use std::sync::Arc;
use testbed::Kind;

const SHOP: &str = "https://market.example/paid";

struct Shop {
    w: World,
    fake: Arc<Fake>,
}

/// A payment whose buyer was sent to our page.
struct Begun {
    order: String,
    token: String,
    charge: Charge,
}

impl Shop {
    async fn open(kind: Kind) -> Shop {
        Shop::with(kind, |cfg| cfg).await
    }

    async fn with(kind: Kind, change: impl Fn(inicis::Config) -> inicis::Config) -> Shop {
        let fake = server::start(Server::default()).await;
        let cfg = Config {
            return_url: SHOP.into(),
            public_url: "https://market.example/".into(),
            provider_timeout_ms: 2_500,
            ..config()
        };
        // As cheap as the sandbox, and before it.
        let cost = Cost::default();
        let inicis_cfg = change(inicis::Config { arrival_secs: 1, cost, ..server::config(&fake.url, "api_key_1") });
        let clock = ManualClock::at(SystemClock.now());
        let w = World::with(kind, cfg, |sandbox, db| vec![server::provider(db, &clock, inicis_cfg), sandbox]).await;
        Shop { w, fake }
    }

    async fn begin(&self, won: i64) -> Begun {
        let (order, buyer) = (order_id(), user_id());
        let source = Source::EasyPay(wire::EasyPaySource { service: "inicis".into() });
        let payment = self.w.authorise(&order, 1, &buyer, won, source).await;
        assert_eq!(payment.status(), Status::ActionRequired);
        let path = payment.redirect_url.strip_prefix("https://market.example/v1/payments/checkout/");
        let token = path.expect("our own page").to_owned();
        let charge = Charge {
            key: format!("{order}:1"),
            order_id: order.clone(),
            buyer_id: buyer,
            amount: payment::domain::krw(won),
            instrument: Instrument::EasyPay("inicis".into()),
            return_url: SHOP.into(),
            checkout_url: payment.redirect_url,
        };
        Begun { order, token, charge }
    }

    /// What the browser would bring back.
    fn through(&self, begun: &Begun) -> Vec<u8> {
        come_back(&mut self.fake.books(), &begun.charge)
    }

    async fn page(&self, token: &str) -> Result<HttpBody> {
        let cx = testbed::at(testbed::anonymous(), SystemClock.now());
        self.w.payments.get_checkout(cx, wire::GetCheckoutRequest { token: token.into() }).await
    }

    async fn back(&self, token: &str, form: Vec<u8>) -> Result<HttpBody> {
        let cx = testbed::at(testbed::anonymous(), SystemClock.now());
        let body = Some(HttpBody { data: form, ..HttpBody::default() });
        self.w.payments.return_from_checkout(cx, wire::ReturnFromCheckoutRequest { token: token.into(), body }).await
    }

    async fn paid(&self, won: i64) -> Begun {
        let begun = self.begin(won).await;
        assert!(leads_to_shop(&self.back(&begun.token, self.through(&begun)).await.unwrap()));
        self.w.becomes(&begun.order, Status::Authorised).await;
        assert_eq!(self.w.capture(&begun.order).await.unwrap().status(), Status::Captured);
        begun
    }

    /// The jobs, until nothing of `table` is due.
    async fn settles(&self, table: &str) {
        let begun = std::time::Instant::now();
        while self.w.count(table, "due > 0").await > 0 {
            assert!(begun.elapsed() < PATIENCE, "{table} does not settle");
            self.w.jobs().await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn approvals(&self) -> usize {
        self.fake.posts("/payReq.ini")
    }

    fn books_say(&self, charges: usize, amount: i64) {
        assert_eq!(standing(&self.fake.books()), (charges, amount));
    }
}

fn leads_to_shop(answer: &HttpBody) -> bool {
    let Some(any) = answer.extensions.first() else { return false };
    let reply = HttpReply::decode(any.value.as_slice()).unwrap();
    any.type_url.ends_with("/jangteo.options.v1.HttpReply") && reply.status == 303 && reply.headers["location"] == SHOP
}

fn text(answer: HttpBody) -> String {
    assert!(answer.content_type.starts_with("text/html"));
    String::from_utf8(answer.data).unwrap()
}

pub async fn a_buyer_pays_in_the_window(kind: Kind) {
    let shop = Shop::open(kind).await;
    let begun = shop.begin(10_000).await;
    let page = text(shop.page(&begun.token).await.unwrap());
    assert!(
        page.contains("smart/payment/\" accept-charset=\"euc-kr\"") && page.contains("name=\"P_AMT\" value=\"10000\"")
    );
    assert!(page.contains(&format!("checkout/{}:return\"", begun.token)) && !page.contains("<script"), "{page}");
    let form = shop.through(&begun);
    assert!(leads_to_shop(&shop.back(&begun.token, form.clone()).await.unwrap()));
    shop.w.becomes(&begun.order, Status::Authorised).await;
    // Again, and with another proof: it is paid already.
    for form in [form, shop.through(&begun), b"P_STATUS=01".to_vec()] {
        assert!(leads_to_shop(&shop.back(&begun.token, form).await.unwrap()));
    }
    assert!(leads_to_shop(&shop.page(&begun.token).await.unwrap()));
    assert_eq!((shop.approvals(), shop.w.capture(&begun.order).await.unwrap().status()), (1, Status::Captured));
    shop.books_say(1, 10_000);
    shop.w.sound().await;
}

pub async fn who_did_not_get_through_may_try_again(kind: Kind) {
    let shop = Shop::open(kind).await;
    let begun = shop.begin(10_000).await;
    let cheap = String::from_utf8(shop.through(&begun)).unwrap().replace("P_AMT=10000", "P_AMT=1");
    for lie in [form_of(&[("P_STATUS", "01"), ("P_RMESG1", "취소")]), cheap.into_bytes(), vec![0xff; 9], Vec::new()] {
        let page = text(shop.back(&begun.token, lie).await.unwrap());
        assert!(page.contains(&begun.charge.checkout_url) && page.contains(SHOP), "{page}");
    }
    assert_eq!((shop.approvals(), shop.w.status(&begun.order).await), (0, Status::ActionRequired));
    shop.back(&begun.token, shop.through(&begun)).await.unwrap();
    shop.w.becomes(&begun.order, Status::Authorised).await;
    let other = shop.begin(500).await;
    shop.fake.books().payer = "4000000000009995".into();
    assert!(leads_to_shop(&shop.back(&other.token, shop.through(&other)).await.unwrap()));
    shop.w.becomes(&other.order, Status::Declined).await;
    for stranger in
        ["0".repeat(32), shop.w.line("SELECT checkout_token FROM charge LIMIT 1").await.unwrap()[1..].into()]
    {
        assert_eq!(shop.page(&stranger).await.unwrap_err().reason(), "CHECKOUT_NOT_FOUND");
        assert_eq!(shop.back(&stranger, Vec::new()).await.unwrap_err().reason(), "CHECKOUT_NOT_FOUND");
    }
    // The sandbox has a page of its own.
    let order = order_id();
    let card = shop.w.card(&begun.charge.buyer_id, CONFIRM).await;
    shop.w.authorise(&order, 1, &begun.charge.buyer_id, 500, card).await;
    let token = shop.w.line(&format!("SELECT checkout_token FROM charge WHERE order_id = '{order}'")).await.unwrap();
    assert_eq!(shop.page(&token).await.unwrap_err().reason(), "CHECKOUT_NOT_FOUND");
}

pub async fn two_returns_at_once_take_the_money_once(kind: Kind) {
    let shop = Shop::open(kind).await;
    for round in 1..=4_usize {
        let begun = &shop.begin(1_000).await;
        let form = shop.through(begun);
        let forms: Vec<_> = (0..8).map(|n| if n % 2 == 0 { form.clone() } else { shop.through(begun) }).collect();
        for answer in join_all(forms.into_iter().map(|form| shop.back(&begun.token, form))).await {
            assert!(leads_to_shop(&answer.unwrap()), "nobody is asked to pay again");
        }
        shop.w.becomes(&begun.order, Status::Authorised).await;
        assert_eq!(shop.approvals(), round);
    }
    shop.books_say(4, 4_000);
    shop.w.sound().await;
}

pub async fn a_return_races_with_a_void(kind: Kind) {
    let shop = Shop::open(kind).await;
    for _ in 0..6 {
        let begun = shop.begin(1_000).await;
        let form = shop.through(&begun);
        let (back, void) = tokio::join!(shop.back(&begun.token, form.clone()), shop.w.void(&begun.order));
        assert_eq!((leads_to_shop(&back.unwrap()), void.unwrap().status()), (true, Status::Voided));
        let approvals = shop.approvals();
        assert!(leads_to_shop(&shop.back(&begun.token, form).await.unwrap()));
        assert_eq!(shop.approvals(), approvals, "it came too late");
    }
    shop.settles("charge").await;
    assert_eq!(shop.w.count("charge", "state = 'VOIDED'").await, 6);
    shop.books_say(0, 0);
    // After the void there is nobody to come back to.
    let begun = shop.begin(1_000).await;
    let (form, approvals) = (shop.through(&begun), shop.approvals());
    shop.w.void(&begun.order).await.unwrap();
    shop.back(&begun.token, form).await.unwrap();
    assert_eq!(shop.approvals(), approvals);
    shop.w.sound().await;
}

pub async fn an_approval_that_was_not_sent_is_given_up(kind: Kind) {
    let shop = Shop::open(kind).await;
    // A process died between writing the return down and asking Inicis.
    let begun = shop.begin(1_000).await;
    shop.w.plant("UPDATE charge SET slip = 'fc INIMX_AUTH', confirm_time = 1").await.unwrap();
    shop.w.plant("UPDATE payment SET due = 1").await.unwrap();
    assert!(leads_to_shop(&shop.back(&begun.token, shop.through(&begun)).await.unwrap()));
    assert_eq!(shop.approvals(), 0);
    shop.w.becomes(&begun.order, Status::Declined).await;
    shop.books_say(0, 0);
    shop.w.sound().await;
    // Nobody listened: nothing was sent, and the buyer may come back once more.
    let nowhere = Shop::with(kind, |cfg| inicis::Config { url: "http://127.0.0.1:1".into(), ..cfg }).await;
    let begun = nowhere.begin(1_000).await;
    let form = String::from_utf8(nowhere.through(&begun)).unwrap();
    let there = form.split('&').find(|pair| pair.starts_with("P_REQ_URL=")).unwrap().to_owned();
    let form = form.replace(&there, "P_REQ_URL=http://127.0.0.1:1/smart/payReq.ini").into_bytes();
    for _ in 0..2 {
        let page = text(nowhere.back(&begun.token, form.clone()).await.unwrap());
        assert!(page.contains(&begun.charge.checkout_url), "{page}");
    }
    assert_eq!(nowhere.w.status(&begun.order).await, Status::ActionRequired);
    assert_eq!(nowhere.w.count("charge", "slip = '' AND confirm_time = 0").await, 1);
}

pub async fn refunds_race_and_each_is_given_once(kind: Kind) {
    let shop = Shop::open(kind).await;
    let begun = shop.paid(10_000).await;
    let refunds: Vec<_> = (1..=4).map(|n| (refund_id(), 1_000 * n)).collect();
    for _ in 0..2 {
        shop.fake.next(Trouble::Drop);
    }
    let asked = refunds.iter().chain(&refunds).map(|(id, won)| shop.w.refund(&begun.order, id, 1, *won));
    for answer in join_all(asked).await {
        answer.unwrap();
    }
    shop.settles("refund").await;
    shop.books_say(1, 0);
    assert_eq!(shop.fake.posts("/partialRefund"), 4);
    assert_eq!(shop.w.status(&begun.order).await, Status::Refunded);
    assert_eq!(shop.w.count("sending", "state = 'DONE'").await, 4);
    shop.w.sound().await;
}

pub async fn a_trade_takes_the_money_once_though_answers_get_lost(kind: Kind) {
    let shop = Shop::open(kind).await;
    let begun = shop.begin(10_000).await;
    shop.fake.next(Trouble::Drop);
    assert!(leads_to_shop(&shop.back(&begun.token, shop.through(&begun)).await.unwrap()), "the shop waits for it");
    shop.w.becomes(&begun.order, Status::Authorised).await;
    assert_eq!(shop.w.capture(&begun.order).await.unwrap().status(), Status::Captured);
    shop.fake.next(Trouble::Drop);
    shop.w.refund(&begun.order, &refund_id(), 1, 3_000).await.unwrap();
    shop.settles("refund").await;
    shop.books_say(1, 7_000);
    let given_up = shop.begin(500).await;
    shop.back(&given_up.token, shop.through(&given_up)).await.unwrap();
    shop.fake.next(Trouble::Drop);
    shop.w.void(&given_up.order).await.unwrap();
    shop.settles("charge").await;
    shop.books_say(1, 7_000);
    assert_eq!(shop.approvals(), 2);
    shop.w.sound().await;
}
