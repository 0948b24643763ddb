-- Refunds at providers that know no keys: each is written down before it is sent, so that what is left tells whether it arrived.
CREATE TABLE sending (
  provider TEXT NOT NULL,
  -- Of the refund.
  key TEXT NOT NULL,
  charge_key TEXT NOT NULL,
  -- What the provider had left of the charge before, and should have after; 0 while it was not sent.
  left_before BIGINT NOT NULL,
  left_after BIGINT NOT NULL CHECK (left_after >= 0 AND left_after <= left_before),
  -- When it was last sent; 0: it was not.
  sent_time BIGINT NOT NULL,
  -- How often the provider said no.
  refusals BIGINT NOT NULL,
  -- OPEN, DONE or REFUSED (it did nothing, and is never sent again).
  state TEXT NOT NULL,
  PRIMARY KEY (provider, key)
);
-- What is left says nothing of two at once.
CREATE UNIQUE INDEX sending_open ON sending (provider, charge_key) WHERE state = 'OPEN';
CREATE INDEX sending_charge ON sending (provider, charge_key);
