//! Wallets: what sellers earn, spend and withdraw.

use crate::support::*;
use futures::future::join_all;
use payment::Config;
use proto::jangteo::payment::v1::{
    self as wire, PaymentStatus as Status, PayoutStatus, payment_service::Api, payment_source::Kind as Source,
};
use testbed::Kind;

async fn account(w: &World, user: &str, number: &str) {
    let (bank, holder) = ("kb".to_owned(), "홍길동".to_owned());
    let req = wire::PutPayoutAccountRequest { bank, account_number: number.into(), holder, request_id: String::new() };
    w.payments.put_payout_account(by(user), req).await.unwrap();
}

async fn withdraw(w: &World, user: &str, won: i64, key: &str) -> jangteo_core::Result<wire::Payout> {
    let req = wire::WithdrawWalletRequest { amount: Some(krw(won)), request_id: String::new() };
    w.payments.withdraw_wallet(testbed::keyed(by(user), key, 1), req).await
}

pub async fn sellers_get_their_share(kind: Kind) {
    let friend = user_id();
    let cfg = Config { commission_overrides: [(friend.clone(), 0)].into(), ..config() };
    let (w, shop) = (World::with(kind, cfg, |s, _| vec![s]).await, user_id());
    let order = w.paid(&user_id(), 10_000).await;
    for _ in 0..3 {
        let made = w.settle(&order, 1, &shop, 6_000).await.unwrap();
        assert_eq!((made.commission.unwrap().units, made.net.unwrap().units), (210, 5_790));
    }
    w.settle(&order, 2, &friend, 4_000).await.unwrap();
    assert_eq!((w.wallet(&shop).await, w.wallet(&friend).await, w.escrow(&order).await), (5_790, 4_000, 0));
    assert_eq!(w.settle(&order, 1, &friend, 6_000).await.unwrap_err().reason(), "PART_SETTLED");
    assert_eq!(w.settle(&order, 3, &friend, 1).await.unwrap_err().reason(), "ESCROW_SHORT");
    assert_eq!(w.events("SettlementMade").await, 2);
    w.sound().await;
}

pub async fn held_money_is_released_in_time(kind: Kind) {
    let cfg = Config { settlement_hold_secs: 1, ..config() };
    let (w, seller) = (World::with(kind, cfg, |s, _| vec![s]).await, user_id());
    w.earn(&seller, 1_000).await;
    let wallet = w.payments.get_wallet(by(&seller), wire::GetWalletRequest {}).await.unwrap();
    assert_eq!((wallet.balance.unwrap().units, wallet.held.unwrap().units), (0, 965));
    w.payments.clone().release_and_pay_out(order_calls()).await.unwrap();
    assert_eq!(w.wallet(&seller).await, 0);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    for _ in 0..2 {
        w.payments.clone().release_and_pay_out(order_calls()).await.unwrap();
    }
    assert_eq!(w.wallet(&seller).await, 965);
    w.sound().await;
}

pub async fn five_hundred_and_twelve_spenders_overdraw_nothing(kind: Kind) {
    let (w, buyer) = (World::new(kind).await, user_id());
    w.earn(&buyer, 100_000).await;
    let had = w.wallet(&buyer).await;
    let spend = (0..512).map(|_| async {
        let order = order_id();
        let req = asked(&order, 1, &buyer, 1_000, 0, Source::Wallet(wire::WalletSource {}));
        // A store that is overrun may refuse; whoever is refused asks again.
        for _ in 0..50 {
            if let Ok(payment) = w.payments.authorise(order_calls(), req.clone()).await
                && payment.status() != Status::Pending
            {
                return (order, payment.status());
            }
        }
        panic!("{order} is stuck");
    });
    let ends = join_all(spend).await;
    let paid: Vec<_> = ends.iter().filter(|(_, status)| *status == Status::Authorised).collect();
    assert_eq!((had, paid.len(), w.wallet(&buyer).await), (96_500, 96, 500));
    for (order, _) in &paid[..8] {
        w.capture(order).await.unwrap();
    }
    w.sound().await;
}

pub async fn a_withdrawal_reaches_the_bank_once(kind: Kind) {
    let (w, seller) = (World::new(kind).await, user_id());
    w.earn(&seller, 1_000).await;
    assert_eq!(withdraw(&w, &seller, 500, "a").await.unwrap_err().reason(), "PAYOUT_ACCOUNT_REQUIRED");
    account(&w, &seller, "12345678901234").await;
    assert_eq!(withdraw(&w, &seller, 99, "b").await.unwrap_err().reason(), "PAYOUT_TOO_SMALL");
    assert_eq!(withdraw(&w, &seller, 966, "c").await.unwrap_err().reason(), "WALLET_SHORT");
    let paid = withdraw(&w, &seller, 500, "d").await.unwrap();
    assert_eq!((paid.status(), paid.last4.as_str()), (PayoutStatus::Paid, "1234"));
    assert_eq!(withdraw(&w, &seller, 500, "d").await.unwrap(), paid, "the same request");
    assert_eq!((w.wallet(&seller).await, w.count("sandbox_payout", "amount = 500").await), (465, 1));
    assert_eq!(w.events("PayoutPaid").await, 1);
    assert!(!w.stores.stored("12345678901234"), "the account's number is sealed");
    let listed = w.payments.list_payouts(by(&seller), wire::ListPayoutsRequest::default()).await.unwrap();
    assert_eq!(listed.payouts, [paid]);
    w.sound().await;
}

pub async fn a_refused_payout_comes_back(kind: Kind) {
    let (w, seller) = (World::new(kind).await, user_id());
    w.earn(&seller, 1_000).await;
    account(&w, &seller, "12345670000").await;
    assert_eq!(withdraw(&w, &seller, 500, "a").await.unwrap().status(), PayoutStatus::Failed);
    assert_eq!(w.wallet(&seller).await, 965);
    w.sound().await;
}

pub async fn wallets_are_paid_out_by_schedule(kind: Kind) {
    let cfg = Config { payout_every_secs: 1, ..config() };
    let w = World::with(kind, cfg, |s, _| vec![s]).await;
    let (seller, small, nameless) = (user_id(), user_id(), user_id());
    for (user, won) in [(&seller, 1_000), (&small, 50), (&nameless, 1_000)] {
        w.earn(user, won).await;
    }
    account(&w, &seller, "123456789").await;
    account(&w, &small, "123456789").await;
    let job = async || w.payments.clone().release_and_pay_out(order_calls()).await.unwrap();
    job().await;
    assert_eq!(w.wallet(&seller).await, 965, "the first run sets the clock");
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    job().await;
    job().await;
    assert_eq!((w.wallet(&seller).await, w.wallet(&small).await, w.wallet(&nameless).await), (0, 49, 965));
    assert_eq!(w.count("payout", "1 = 1").await, 1);
    w.sound().await;
}

pub async fn entries_are_listed_in_pages(kind: Kind) {
    let (w, seller) = (World::new(kind).await, user_id());
    for won in [1_000, 2_000, 3_000] {
        w.earn(&seller, won).await;
    }
    account(&w, &seller, "123456789").await;
    withdraw(&w, &seller, 100, "a").await.unwrap();
    let page = async |token: String| {
        let req = wire::ListWalletEntriesRequest { page_size: 3, page_token: token };
        w.payments.list_wallet_entries(by(&seller), req).await.unwrap()
    };
    let first = page(String::new()).await;
    let second = page(first.next_page_token.clone()).await;
    let all: Vec<_> = first.entries.iter().chain(&second.entries).map(|e| (e.delta, e.reason.as_str())).collect();
    assert_eq!(all, [(-100, "PAYOUT"), (2_895, "SETTLEMENT"), (1_930, "SETTLEMENT"), (965, "SETTLEMENT")]);
    assert_eq!(second.next_page_token, "");
}
