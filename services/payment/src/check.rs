//! What must hold of the stored data, whatever happened: `jangteo verify` and every test of faults ask. Each check says what is
//! wrong, one line a finding.

use crate::{Payments, domain::luhn, store::check as store};
use jangteo_core::{Call, Result};
use std::sync::Arc;

/// Every account's columns against the fold of its transfers and what waits to be rolled up.
const BALANCES: &str = "
WITH moves AS (
  SELECT debit_account AS account_id, phase, amount AS debit, 0 AS credit FROM transfer
  UNION ALL SELECT credit_account, phase, 0, amount FROM transfer
), fold AS (
  SELECT account_id,
    SUM(CASE WHEN phase IN ('SINGLE', 'POST') THEN debit ELSE 0 END) AS dp,
    SUM(CASE WHEN phase IN ('SINGLE', 'POST') THEN credit ELSE 0 END) AS cp,
    SUM(CASE WHEN phase = 'PENDING' THEN debit WHEN phase IN ('POST', 'VOID') THEN -debit ELSE 0 END) AS dw,
    SUM(CASE WHEN phase = 'PENDING' THEN credit WHEN phase IN ('POST', 'VOID') THEN -credit ELSE 0 END) AS cw
  FROM moves GROUP BY account_id
), waiting AS (
  SELECT account_id, SUM(debit) AS d, SUM(credit) AS c FROM account_delta GROUP BY account_id
)
SELECT 'account ' || COALESCE(a.account_id, f.account_id) || ' is not the fold of its transfers'
FROM account a FULL OUTER JOIN fold f ON f.account_id = a.account_id LEFT JOIN waiting w ON w.account_id = a.account_id
WHERE a.account_id IS NULL
  OR a.debits_posted + COALESCE(w.d, 0) <> COALESCE(f.dp, 0) OR a.credits_posted + COALESCE(w.c, 0) <> COALESCE(f.cp, 0)
  OR a.debits_pending <> COALESCE(f.dw, 0) OR a.credits_pending <> COALESCE(f.cw, 0)";

const CURRENCIES: &str = "
WITH totals AS (
  SELECT a.currency, a.debits_posted + COALESCE(w.d, 0) AS debits, a.credits_posted + COALESCE(w.c, 0) AS credits,
    a.debits_pending, a.credits_pending
  FROM account a LEFT JOIN (SELECT account_id, SUM(debit) AS d, SUM(credit) AS c FROM account_delta GROUP BY account_id) w
    ON w.account_id = a.account_id
)
SELECT 'debits and credits in ' || currency || ' differ' FROM totals GROUP BY currency
HAVING SUM(debits) <> SUM(credits) OR SUM(debits_pending) <> SUM(credits_pending)";

const OVERDRAWN: &str = "
SELECT kind || ' of ' || owner || ' is overdrawn' FROM account
WHERE no_overdraft AND ((normal_side = 'CREDIT' AND debits_posted + debits_pending > credits_posted)
  OR (normal_side = 'DEBIT' AND credits_posted + credits_pending > debits_posted))";

const STRAY: &str = "
SELECT 'transfer ' || t.transfer_id || ' ends ' || t.pending_id || ', which it does not match'
FROM transfer t LEFT JOIN transfer p ON p.transfer_id = t.pending_id
WHERE t.pending_id IS NOT NULL AND (p.transfer_id IS NULL OR p.phase <> 'PENDING' OR p.amount <> t.amount
  OR p.debit_account <> t.debit_account OR p.credit_account <> t.credit_account)";

/// What came into an order's escrow is there, settled or given back.
const ESCROWS: &str = "
WITH settled AS (SELECT order_id, SUM(amount) AS amount FROM settlement GROUP BY order_id),
refunds AS (
  SELECT order_id, SUM(amount) AS amount, SUM(points) AS points, SUM(CASE WHEN from_seller THEN amount ELSE 0 END) AS returned
  FROM refund GROUP BY order_id
)
SELECT 'escrow of ' || p.order_id || ' has ' || (COALESCE(a.credits_posted - a.debits_posted, 0)) || ' won; '
  || p.captured || ' came, ' || COALESCE(s.amount, 0) || ' were settled, ' || COALESCE(r.amount, 0) || ' given back'
FROM payment p LEFT JOIN account a ON a.kind = 'ESCROW' AND a.owner = p.order_id
LEFT JOIN settled s ON s.order_id = p.order_id LEFT JOIN refunds r ON r.order_id = p.order_id
WHERE p.captured + COALESCE(r.returned, 0)
    <> COALESCE(a.credits_posted - a.debits_posted, 0) + COALESCE(s.amount, 0) + COALESCE(r.amount, 0)
  OR p.refunded <> COALESCE(r.amount, 0) OR p.refunded_points <> COALESCE(r.points, 0)
  OR COALESCE(a.credits_posted - a.debits_posted, 0) < 0";

const STRANGE_ESCROWS: &str = "
SELECT 'escrow of ' || a.owner || ' belongs to no payment' FROM account a LEFT JOIN payment p ON p.order_id = a.owner
WHERE a.kind = 'ESCROW' AND p.order_id IS NULL";

const TWO_CHARGES: &str = "
SELECT 'order ' || order_id || ' has ' || COUNT(*) || ' charges that count' FROM charge
WHERE state IN ('ASKED', 'ACTION_REQUIRED', 'AUTHORISED', 'CAPTURED') GROUP BY order_id HAVING COUNT(*) > 1";

const TWO_CHARGES_THERE: &str = "
SELECT 'order ' || order_id || ' was captured ' || COUNT(*) || ' times at the sandbox' FROM sandbox_charge
WHERE state = 'CAPTURED' GROUP BY order_id HAVING COUNT(*) > 1";

/// Statuses: 1 pending, 2 action required, 3 authorised, 4 captured, 5 refunded.
const STATUSES: &str = "
SELECT 'payment of ' || p.order_id || ' has status ' || p.status || ' and its charge is ' || COALESCE(c.state, 'none')
FROM payment p LEFT JOIN charge c ON c.order_id = p.order_id
  AND c.state IN ('ASKED', 'ACTION_REQUIRED', 'AUTHORISED', 'CAPTURED')
WHERE p.funding = 'PROVIDER' AND COALESCE(c.state, 'none') <> CASE p.status
  WHEN 1 THEN 'ASKED' WHEN 2 THEN 'ACTION_REQUIRED' WHEN 3 THEN 'AUTHORISED' WHEN 4 THEN 'CAPTURED' WHEN 5 THEN 'CAPTURED'
  ELSE 'none' END";

/// What the sandbox has and we don't know, or the other way round; what is still being asked is left out.
const SANDBOX: &str = "
SELECT 'the sandbox says that ' || s.key || ' is ' || s.state || ', and we say ' || COALESCE(c.state, 'nothing')
FROM sandbox_charge s LEFT JOIN charge c ON c.provider = s.provider AND c.key = s.key
LEFT JOIN payment p ON p.order_id = s.order_id
WHERE c.key IS NULL OR c.amount <> s.amount
  OR (s.state = 'CAPTURED' AND c.state <> 'CAPTURED' AND NOT p.capturing)
  OR (s.state = 'AUTHORISED' AND c.state NOT IN ('ASKED', 'ACTION_REQUIRED', 'AUTHORISED', 'VOIDING'))
  OR (s.state <> 'CAPTURED' AND c.state = 'CAPTURED')
  OR (s.state NOT IN ('AUTHORISED', 'CAPTURED') AND c.state = 'AUTHORISED' AND NOT p.capturing)";

/// Charges of a provider that keeps books here, and has never heard of them.
const UNHEARD: &str = "
SELECT c.key || ' is ' || c.state || ', and the sandbox never heard of it' FROM charge c
LEFT JOIN sandbox_charge s ON s.provider = c.provider AND s.key = c.key
WHERE c.state IN ('AUTHORISED', 'CAPTURED') AND s.key IS NULL AND c.provider IN (SELECT provider FROM sandbox_charge)";

const REFUNDS_THERE: &str = "
SELECT 'refund ' || s.key || ' is ' || s.amount || ' won at the sandbox, and here ' || COALESCE(r.amount - r.points, 0)
FROM sandbox_refund s LEFT JOIN refund r ON r.refund_id = s.key
WHERE r.refund_id IS NULL OR r.amount - r.points <> s.amount OR r.status = 3";

impl Payments {
    /// Debits are credits, every balance is the fold of its transfers, nobody is overdrawn.
    pub async fn check_ledger(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        self.findings(&[BALANCES, CURRENCIES, OVERDRAWN, STRAY]).await
    }

    /// What was captured is in escrow, settled or given back.
    pub async fn check_escrow(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        self.findings(&[ESCROWS, STRANGE_ESCROWS]).await
    }

    /// An order is charged once, and the sandbox's books say what ours do.
    pub async fn check_charges(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        self.findings(&[TWO_CHARGES, TWO_CHARGES_THERE, STATUSES, SANDBOX, UNHEARD, REFUNDS_THERE]).await
    }

    /// No card number is stored, whatever the column. Says where, not which.
    pub async fn check_cards(self: Arc<Self>, _cx: Call) -> Result<Vec<String>> {
        let (conn, mut found) = (self.db.primary(), Vec::new());
        for (table, column, bytes) in store::text_columns(conn).await? {
            let cards = match bytes {
                true => store::bytes(conn, &table, &column).await?.iter().filter(|b| luhn::find_in_message(b)).count(),
                false => store::texts(conn, &table, &column).await?.iter().filter(|t| luhn::find(t).is_some()).count(),
            };
            if cards > 0 {
                found.push(format!("{cards} rows of {table}.{column} hold what looks like a card number"));
            }
        }
        Ok(found)
    }

    async fn findings(&self, queries: &[&str]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for query in queries {
            found.extend(store::lines(self.db.primary(), query).await?);
        }
        Ok(found)
    }
}
