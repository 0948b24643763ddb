//! Double entry: money never appears or vanishes, it goes from one account to another. Two-phase transfers set money aside
//! first and move it or let it go later; the shape follows TigerBeetle's accounts and transfers.

use jangteo_core::{Error, Result};
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;

pub const CURRENCY: &str = "KRW";

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// What a provider has of ours: captured and not refunded or paid out. Of a provider.
    Clearing,
    /// What is held for an order until its parts are done. Of an order.
    Escrow,
    /// A person's money with us. Of a person.
    Wallet,
    /// What sales brought a seller and is still held back. Of a person.
    Payable,
    /// What the platform earned.
    Commission,
    /// What the platform paid for orders in place of those who paid with points.
    PointsFunding,
    /// Out of wallets, not yet paid by a provider. Of a provider.
    PayoutClearing,
    /// Out of escrows, not yet given back by a provider. Of a provider.
    Refunds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Debit,
    Credit,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Side::Debit => "DEBIT",
            Side::Credit => "CREDIT",
        }
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Clearing => "CLEARING",
            Kind::Escrow => "ESCROW",
            Kind::Wallet => "WALLET",
            Kind::Payable => "PAYABLE",
            Kind::Commission => "COMMISSION",
            Kind::PointsFunding => "POINTS_FUNDING",
            Kind::PayoutClearing => "PAYOUT_CLEARING",
            Kind::Refunds => "REFUNDS",
        }
    }

    /// The side on which it grows: what we have or spent is debited, what we owe or earned is credited.
    pub fn normal(self) -> Side {
        match self {
            Kind::Clearing | Kind::PointsFunding => Side::Debit,
            _ => Side::Credit,
        }
    }

    /// Whether it can't go below zero.
    pub fn no_overdraft(self) -> bool {
        matches!(self, Kind::Escrow | Kind::Wallet | Kind::Payable)
    }

    /// Whether everybody's transfers meet there, so that its balance is rolled up later by a job.
    pub fn rolled_up(self) -> bool {
        !self.no_overdraft()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    pub kind: Kind,
    /// An order, a person or a provider; empty for the platform's own.
    pub owner: String,
}

impl Account {
    pub fn of(kind: Kind, owner: &str) -> Account {
        Account { kind, owner: owner.to_owned() }
    }

    /// Made from what it is, so that nobody has to look it up.
    pub fn id(&self) -> String {
        format!("acc_{}", name_hash(&[self.kind.name(), &self.owner, CURRENCY]))
    }
}

/// The id of the one transfer that moves money for `reason` on the occasion named by `key`, for ever.
pub fn transfer_id(reason: &str, key: &str) -> String {
    format!("tfr_{}", name_hash(&[reason, key]))
}

fn name_hash(parts: &[&str]) -> String {
    digest(&SHA256, parts.join("\u{1f}").as_bytes()).as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Moves at once.
    Single,
    /// Sets aside.
    Pending,
    /// Moves what the named transfer set aside.
    Post(String),
    /// Lets go what the named transfer set aside.
    Void(String),
}

impl Phase {
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Single => "SINGLE",
            Phase::Pending => "PENDING",
            Phase::Post(_) => "POST",
            Phase::Void(_) => "VOID",
        }
    }

    pub fn ends(&self) -> Option<&str> {
        match self {
            Phase::Post(id) | Phase::Void(id) => Some(id),
            Phase::Single | Phase::Pending => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub transfer_id: String,
    pub phase: Phase,
    pub debit: Account,
    pub credit: Account,
    /// Won, more than 0.
    pub amount: i64,
    /// UPPER_SNAKE: `CAPTURE`.
    pub reason: &'static str,
    /// The order, refund or payout that it belongs to.
    pub reference: String,
}

impl Transfer {
    /// `key` names the occasion; with `reason` it makes the id.
    pub fn new(reason: &'static str, key: &str, from: (Account, Account), amount: i64, reference: &str) -> Transfer {
        Transfer {
            transfer_id: transfer_id(reason, key),
            phase: Phase::Single,
            debit: from.0,
            credit: from.1,
            amount,
            reason,
            reference: reference.to_owned(),
        }
    }

    pub fn pending(self) -> Transfer {
        Transfer { phase: Phase::Pending, ..self }
    }

    /// Ends this pending transfer.
    pub fn post(&self, reason: &'static str) -> Transfer {
        self.end(reason, Phase::Post(self.transfer_id.clone()))
    }

    pub fn void(&self, reason: &'static str) -> Transfer {
        self.end(reason, Phase::Void(self.transfer_id.clone()))
    }

    fn end(&self, reason: &'static str, phase: Phase) -> Transfer {
        Transfer { transfer_id: transfer_id(reason, &self.transfer_id), phase, reason, ..self.clone() }
    }
}

/// What was ever debited and credited. 128 bits, so that no sum of valid amounts overflows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    pub debits_posted: i128,
    pub credits_posted: i128,
    pub debits_pending: i128,
    pub credits_pending: i128,
}

impl Balance {
    /// What is there, on the normal side, pending transfers aside.
    pub fn posted(&self, normal: Side) -> i128 {
        match normal {
            Side::Debit => self.debits_posted - self.credits_posted,
            Side::Credit => self.credits_posted - self.debits_posted,
        }
    }

    /// What may be moved away: what is set aside for leaving doesn't count, what is on its way here neither.
    pub fn available(&self, normal: Side) -> i128 {
        match normal {
            Side::Debit => self.posted(normal) - self.credits_pending,
            Side::Credit => self.posted(normal) - self.debits_pending,
        }
    }

    fn add(&mut self, phase: &Phase, debit: i128, credit: i128) {
        let (pending, posted) = match phase {
            Phase::Single => (0, 1),
            Phase::Pending => (1, 0),
            Phase::Post(_) => (-1, 1),
            Phase::Void(_) => (-1, 0),
        };
        self.debits_pending += pending * debit;
        self.credits_pending += pending * credit;
        self.debits_posted += posted * debit;
        self.credits_posted += posted * credit;
    }
}

/// Accounts in memory; what a store does with a transfer is what this does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Book(pub BTreeMap<Account, Balance>);

/// The account that would be overdrawn, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdrawn {
    pub account: Account,
    pub available: i64,
}

impl Book {
    /// All or nothing. An overdraft is refused; a transfer that makes no sense is an error of ours.
    pub fn apply(&mut self, transfers: &[Transfer]) -> Result<Result<(), Overdrawn>> {
        let mut next = self.clone();
        for t in transfers {
            if t.amount <= 0 || t.debit == t.credit {
                return Err(Error::internal(format!("{} moves nothing", t.transfer_id)));
            }
            next.0.entry(t.debit.clone()).or_default().add(&t.phase, t.amount.into(), 0);
            next.0.entry(t.credit.clone()).or_default().add(&t.phase, 0, t.amount.into());
            for account in [&t.debit, &t.credit] {
                let balance = next.0[account];
                if balance.debits_pending < 0 || balance.credits_pending < 0 {
                    return Err(Error::internal(format!("{} ends what is not pending", t.transfer_id)));
                }
                if account.kind.no_overdraft() && balance.available(account.kind.normal()) < 0 {
                    let had = self.0.get(account).copied().unwrap_or_default().available(account.kind.normal());
                    let available = i64::try_from(had).unwrap_or(i64::MAX);
                    return Ok(Err(Overdrawn { account: account.clone(), available }));
                }
            }
        }
        *self = next;
        Ok(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accounts() -> Vec<Account> {
        let mut all: Vec<_> = ["usr_1", "usr_2", "usr_3"].map(|u| Account::of(Kind::Wallet, u)).into();
        all.extend(["ord_1", "ord_2"].map(|o| Account::of(Kind::Escrow, o)));
        all.extend([Account::of(Kind::Clearing, "sandbox"), Account::of(Kind::Commission, "")]);
        all
    }

    fn sums(book: &Book) -> Balance {
        book.0.values().fold(Balance::default(), |a, b| Balance {
            debits_posted: a.debits_posted + b.debits_posted,
            credits_posted: a.credits_posted + b.credits_posted,
            debits_pending: a.debits_pending + b.debits_pending,
            credits_pending: a.credits_pending + b.credits_pending,
        })
    }

    #[test]
    fn ids_name_what_they_are() {
        let wallet = Account::of(Kind::Wallet, "usr_1");
        assert_eq!(wallet.id(), Account::of(Kind::Wallet, "usr_1").id());
        assert_ne!(wallet.id(), Account::of(Kind::Payable, "usr_1").id());
        assert_eq!(wallet.id().len(), 36);
        assert_ne!(transfer_id("A", "bc"), transfer_id("Ab", "c"));
    }

    #[test]
    fn what_is_set_aside_can_not_be_spent_and_can_be_let_go() {
        let (clearing, wallet) = (Account::of(Kind::Clearing, "p"), Account::of(Kind::Wallet, "u"));
        let escrow = Account::of(Kind::Escrow, "o");
        let mut book = Book::default();
        let load = Transfer::new("LOAD", "1", (clearing.clone(), wallet.clone()), 100, "");
        let hold = Transfer::new("PAYMENT", "o:1", (wallet.clone(), escrow.clone()), 70, "o").pending();
        book.apply(&[load, hold.clone()]).unwrap().unwrap();
        let again = Transfer::new("PAYMENT", "o:2", (wallet.clone(), escrow), 70, "o").pending();
        let refused = book.apply(&[again]).unwrap().unwrap_err();
        assert_eq!((refused.account, refused.available), (wallet.clone(), 30));
        book.apply(&[hold.void("LET_GO")]).unwrap().unwrap();
        assert_eq!(book.0[&wallet].available(Side::Credit), 100);
        assert!(book.apply(&[hold.void("LET_GO")]).is_err(), "it ends once");
    }

    proptest! {
        #[test]
        fn any_transfers_balance_and_nobody_is_overdrawn(
            moves in prop::collection::vec((0usize..7, 0usize..7, 1i64..1_000, 0u8..4), 1..120),
        ) {
            let all = accounts();
            let (mut book, mut taken, mut open) = (Book::default(), Vec::new(), Vec::<Transfer>::new());
            for (n, (from, to, amount, what)) in moves.into_iter().enumerate() {
                if from == to { continue; }
                let single = Transfer::new("T", &n.to_string(), (all[from].clone(), all[to].clone()), amount, "");
                let t = match (what, open.pop()) {
                    (2, Some(p)) => p.post("P"),
                    (3, Some(p)) => p.void("V"),
                    (1, p) => { open.extend(p); single.pending() }
                    (_, p) => { open.extend(p); single }
                };
                let before = book.clone();
                match book.apply(std::slice::from_ref(&t)).unwrap() {
                    Ok(()) => {
                        if t.phase == Phase::Pending { open.push(t.clone()); }
                        taken.push(t);
                    }
                    Err(_) => prop_assert_eq!(&book, &before, "a refused transfer changes nothing"),
                }
                let sum = sums(&book);
                prop_assert_eq!(sum.debits_posted, sum.credits_posted);
                prop_assert_eq!(sum.debits_pending, sum.credits_pending);
                for (account, balance) in &book.0 {
                    prop_assert!(!account.kind.no_overdraft() || balance.available(account.kind.normal()) >= 0);
                }
            }
            let mut fold = Book::default();
            fold.apply(&taken).unwrap().unwrap();
            prop_assert_eq!(fold, book, "balances are the fold of the transfers");
        }
    }
}
