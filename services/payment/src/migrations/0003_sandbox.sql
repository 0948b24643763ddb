-- The books of the sandbox, which is a provider of its own: nothing of ours reads them but the checks.
CREATE TABLE sandbox_card (
  token TEXT PRIMARY KEY,
  scenario TEXT NOT NULL
);

CREATE TABLE sandbox_charge (
  provider TEXT NOT NULL,
  key TEXT NOT NULL,
  provider_ref TEXT NOT NULL,
  order_id TEXT NOT NULL,
  amount BIGINT NOT NULL,
  scenario TEXT NOT NULL,
  -- PENDING, ACTION_REQUIRED, AUTHORISED, CAPTURED, VOIDED or DECLINED.
  state TEXT NOT NULL,
  decline_reason TEXT NOT NULL,
  checkout_token TEXT NOT NULL,
  return_url TEXT NOT NULL,
  capture_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (provider, key)
);
CREATE INDEX sandbox_charge_order ON sandbox_charge (order_id);
CREATE INDEX sandbox_charge_checkout ON sandbox_charge (checkout_token) WHERE checkout_token <> '';
CREATE INDEX sandbox_charge_captured ON sandbox_charge (provider, capture_time) WHERE capture_time > 0;

CREATE TABLE sandbox_refund (
  provider TEXT NOT NULL,
  key TEXT NOT NULL,
  charge_key TEXT NOT NULL,
  amount BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (provider, key)
);

CREATE TABLE sandbox_payout (
  provider TEXT NOT NULL,
  key TEXT NOT NULL,
  amount BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (provider, key)
);

-- Webhooks that it has still to send.
CREATE TABLE sandbox_webhook (
  event_id TEXT PRIMARY KEY,
  provider TEXT NOT NULL,
  charge_key TEXT NOT NULL,
  provider_ref TEXT NOT NULL,
  standing TEXT NOT NULL,
  decline_reason TEXT NOT NULL,
  -- How often it is sent yet.
  copies BIGINT NOT NULL,
  due BIGINT NOT NULL
);
CREATE INDEX sandbox_webhook_due ON sandbox_webhook (due);
