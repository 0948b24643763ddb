-- Double entry. Amounts are won. An account's columns are the fold of its transfers; those of accounts that are rolled up
-- lag behind by what is in `account_delta`.
CREATE TABLE account (
  account_id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  owner TEXT NOT NULL,
  currency TEXT NOT NULL,
  normal_side TEXT NOT NULL CHECK (normal_side IN ('DEBIT', 'CREDIT')),
  no_overdraft BOOLEAN NOT NULL,
  rolled_up BOOLEAN NOT NULL,
  debits_posted BIGINT NOT NULL CHECK (debits_posted >= 0),
  credits_posted BIGINT NOT NULL CHECK (credits_posted >= 0),
  debits_pending BIGINT NOT NULL CHECK (debits_pending >= 0),
  credits_pending BIGINT NOT NULL CHECK (credits_pending >= 0),
  create_time BIGINT NOT NULL,
  UNIQUE (kind, owner, currency),
  CHECK (NOT no_overdraft OR normal_side = 'DEBIT' OR debits_posted + debits_pending <= credits_posted),
  CHECK (NOT no_overdraft OR normal_side = 'CREDIT' OR credits_posted + credits_pending <= debits_posted)
);

CREATE TABLE transfer (
  transfer_id TEXT PRIMARY KEY,
  phase TEXT NOT NULL CHECK (phase IN ('SINGLE', 'PENDING', 'POST', 'VOID')),
  -- What a POST or VOID ends; each pending transfer ends once.
  pending_id TEXT UNIQUE,
  debit_account TEXT NOT NULL,
  credit_account TEXT NOT NULL CHECK (credit_account <> debit_account),
  amount BIGINT NOT NULL CHECK (amount > 0),
  currency TEXT NOT NULL,
  reason TEXT NOT NULL,
  -- The order, refund or payout that it belongs to.
  reference TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  CHECK ((phase IN ('POST', 'VOID')) = (pending_id IS NOT NULL))
);
CREATE INDEX transfer_debit ON transfer (debit_account, create_time, transfer_id);
CREATE INDEX transfer_credit ON transfer (credit_account, create_time, transfer_id);
--@sqlite
CREATE TRIGGER transfer_no_update BEFORE UPDATE ON transfer BEGIN SELECT RAISE(ABORT, 'transfer is insert only'); END;
CREATE TRIGGER transfer_no_delete BEFORE DELETE ON transfer BEGIN SELECT RAISE(ABORT, 'transfer is insert only'); END;
--@postgres
CREATE FUNCTION transfer_insert_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'transfer is insert only';
END $$;
CREATE TRIGGER transfer_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfer
  FOR EACH STATEMENT EXECUTE FUNCTION transfer_insert_only();
--@all

-- What accounts that everybody's transfers touch have still to be credited and debited with: rows are only added, so that
-- nobody waits for anybody, and a job rolls them up.
CREATE TABLE account_delta (
  account_id TEXT NOT NULL,
  transfer_id TEXT NOT NULL,
  debit BIGINT NOT NULL,
  credit BIGINT NOT NULL,
  PRIMARY KEY (account_id, transfer_id)
);
