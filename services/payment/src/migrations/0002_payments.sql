CREATE TABLE payment (
  payment_id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL UNIQUE,
  -- Empty where an order was given up before anybody tried to pay it.
  buyer_id TEXT NOT NULL,
  -- Number of the proto's enum.
  status BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0),
  points BIGINT NOT NULL CHECK (points >= 0 AND points <= amount),
  captured BIGINT NOT NULL CHECK (captured IN (0, amount)),
  refunded BIGINT NOT NULL CHECK (refunded >= 0 AND refunded <= captured),
  refunded_points BIGINT NOT NULL CHECK (refunded_points >= 0 AND refunded_points <= points AND refunded_points <= refunded),
  -- PROVIDER, WALLET or NONE.
  funding TEXT NOT NULL,
  provider TEXT NOT NULL,
  method_label TEXT NOT NULL,
  redirect_url TEXT NOT NULL,
  decline_reason TEXT NOT NULL,
  -- Points are asked for and user has not said yet.
  taking_points BOOLEAN NOT NULL,
  -- The provider was told to capture and has not said yet.
  capturing BOOLEAN NOT NULL,
  -- When a job looks after it; 0: it needs nobody.
  due BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL
);
CREATE INDEX payment_buyer ON payment (buyer_id, create_time, payment_id);
CREATE INDEX payment_due ON payment (due) WHERE due > 0;

-- Each provider that was asked in an attempt.
CREATE TABLE charge (
  order_id TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  provider TEXT NOT NULL,
  -- What the provider knows it by: order and attempt.
  key TEXT NOT NULL,
  buyer_id TEXT NOT NULL,
  state TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount > 0),
  -- CARD, EASY_PAY or BANK_TRANSFER, and the provider's token, the service or the bank.
  method TEXT NOT NULL,
  instrument TEXT NOT NULL,
  provider_ref TEXT NOT NULL,
  -- Providers that may still be asked when this one took nothing, and their instruments: a JSON list.
  others TEXT NOT NULL,
  -- When a job gives it up at the provider; 0: it needs nobody.
  due BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  -- When it was captured; 0: it was not.
  capture_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, attempt, provider),
  UNIQUE (provider, key)
);
-- At most one charge of an order is ever under way or effective.
CREATE UNIQUE INDEX charge_live ON charge (order_id) WHERE state IN ('ASKED', 'ACTION_REQUIRED', 'AUTHORISED', 'CAPTURED');
CREATE INDEX charge_ref ON charge (provider, provider_ref);
CREATE INDEX charge_due ON charge (due) WHERE due > 0;
CREATE INDEX charge_captured ON charge (provider, capture_time) WHERE capture_time > 0;

-- Points that people are owed: given back, or earned.
CREATE TABLE points_owed (
  -- The occasion in user's account, once and for ever.
  key TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  points BIGINT NOT NULL CHECK (points > 0),
  -- The occasion on which they were taken, when that is not certain; else empty.
  taken_key TEXT NOT NULL,
  reason TEXT NOT NULL,
  due BIGINT NOT NULL,
  tries BIGINT NOT NULL
);
CREATE INDEX points_owed_due ON points_owed (due) WHERE due > 0;

CREATE TABLE refund (
  refund_id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL,
  payment_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  -- What was asked for; `amount` is less by what had gone back at `:refund` already.
  asked BIGINT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0),
  points BIGINT NOT NULL CHECK (points >= 0 AND points <= amount),
  reason TEXT NOT NULL,
  -- Number of the proto's enum.
  status BIGINT NOT NULL,
  provider TEXT NOT NULL,
  -- Made at `:refund`, and how much of it settlements and refunds of the order have been cut by.
  direct BOOLEAN NOT NULL,
  absorbed BIGINT NOT NULL CHECK (absorbed >= 0 AND absorbed <= amount),
  -- The seller gave it, after the settlement.
  from_seller BOOLEAN NOT NULL,
  due BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  -- When it reached the buyer; 0: it has not.
  done_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL
);
CREATE INDEX refund_order ON refund (order_id, part);
CREATE INDEX refund_due ON refund (due) WHERE due > 0;
CREATE INDEX refund_done ON refund (provider, done_time) WHERE done_time > 0;

CREATE TABLE settlement (
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  seller_id TEXT NOT NULL,
  -- What the order asked for; `amount` is less by what had gone back at `:refund`.
  asked BIGINT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount >= 0),
  commission BIGINT NOT NULL CHECK (commission >= 0 AND commission <= amount),
  release_time BIGINT NOT NULL,
  -- In the wallet; until then it is held.
  released BOOLEAN NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, part)
);
CREATE INDEX settlement_held ON settlement (release_time) WHERE NOT released;

CREATE TABLE method (
  payment_method_id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  brand TEXT NOT NULL,
  last4 TEXT NOT NULL,
  expiry_month BIGINT NOT NULL,
  expiry_year BIGINT NOT NULL,
  deleted BOOLEAN NOT NULL,
  create_time BIGINT NOT NULL
);
CREATE INDEX method_user ON method (user_id, create_time);

CREATE TABLE method_token (
  payment_method_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  token TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  PRIMARY KEY (payment_method_id, provider)
);
CREATE INDEX method_fingerprint ON method_token (provider, fingerprint);

CREATE TABLE payout_account (
  user_id TEXT PRIMARY KEY,
  bank TEXT NOT NULL,
  last4 TEXT NOT NULL,
  -- Number and holder.
  sealed BYTES NOT NULL,
  update_time BIGINT NOT NULL
);

CREATE TABLE payout (
  payout_id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  amount BIGINT NOT NULL CHECK (amount > 0),
  -- Number of the proto's enum.
  status BIGINT NOT NULL,
  provider TEXT NOT NULL,
  bank TEXT NOT NULL,
  last4 TEXT NOT NULL,
  -- Number and holder as they were then.
  sealed BYTES NOT NULL,
  due BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  -- When the provider paid it; 0: it has not.
  done_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL
);
CREATE INDEX payout_user ON payout (user_id, create_time, payout_id);
CREATE INDEX payout_due ON payout (due) WHERE due > 0;
CREATE INDEX payout_done ON payout (provider, done_time) WHERE done_time > 0;

-- Messages of providers that came, so that each has its effect once.
CREATE TABLE webhook (
  provider TEXT NOT NULL,
  event_id TEXT NOT NULL,
  about TEXT NOT NULL,
  -- APPLIED, STALE (it said nothing new) or UNKNOWN (of no charge of ours).
  outcome TEXT NOT NULL,
  time BIGINT NOT NULL,
  PRIMARY KEY (provider, event_id)
);

CREATE TABLE discrepancy (
  discrepancy_id TEXT PRIMARY KEY,
  provider TEXT NOT NULL,
  -- Days since 1970, UTC.
  day BIGINT NOT NULL,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  ours BIGINT,
  theirs BIGINT,
  create_time BIGINT NOT NULL
);
CREATE INDEX discrepancy_newest ON discrepancy (create_time, discrepancy_id);

-- Up to which day a provider's statements are compared, and when wallets were last paid out.
CREATE TABLE progress (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
