-- What lists and statistics are made of. `body` is the order as a message: the fold of its events, written with them.
CREATE TABLE orders (
  order_id TEXT PRIMARY KEY,
  buyer_id TEXT NOT NULL,
  -- The buyer's key for placing it, and what it was used for.
  request_id TEXT NOT NULL,
  fingerprint BYTES NOT NULL,
  -- What shipping is asked to prepare.
  shipments BYTES NOT NULL,
  status BIGINT NOT NULL,
  total BIGINT NOT NULL CHECK (total >= 0),
  refunded BIGINT NOT NULL CHECK (refunded >= 0),
  closed BOOLEAN NOT NULL,
  -- 202601, by Korean time.
  month BIGINT NOT NULL,
  version BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  body BYTES NOT NULL,
  UNIQUE (buyer_id, request_id)
);
CREATE INDEX orders_newest ON orders (create_time, order_id);
CREATE INDEX orders_buyer ON orders (buyer_id, create_time, order_id);
CREATE INDEX orders_buyer_month ON orders (buyer_id, month, status);

CREATE TABLE order_part (
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  seller_id TEXT NOT NULL,
  status BIGINT NOT NULL,
  total BIGINT NOT NULL CHECK (total >= 0),
  refunded BIGINT NOT NULL CHECK (refunded >= 0),
  month BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, part)
);
CREATE INDEX order_part_seller ON order_part (seller_id, create_time, order_id);
CREATE INDEX order_part_seller_month ON order_part (seller_id, month, status);

-- What an order (part 0) or a part of it has still to do; a row that is done is gone.
CREATE TABLE saga (
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  step TEXT NOT NULL,
  -- When the step is to be taken; while somebody is at it, when somebody else may take it over.
  due BIGINT NOT NULL,
  -- Until when the order must be paid.
  deadline BIGINT NOT NULL,
  -- Failures since it last got on.
  attempts BIGINT NOT NULL,
  last_error TEXT NOT NULL,
  -- Grows with every claim: who claimed it before can write it no more.
  epoch BIGINT NOT NULL,
  -- News of the payment that came while somebody was at it.
  signals BIGINT NOT NULL,
  -- What payment is asked for, and why the order is given up: messages.
  payment BYTES NOT NULL,
  verdict BYTES NOT NULL,
  PRIMARY KEY (order_id, part)
);
CREATE INDEX saga_due ON saga (due);

-- A buyer's complaint, sealed with a key of the buyer's own.
CREATE TABLE dispute (
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  buyer_id TEXT NOT NULL,
  sealed BYTES NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, part)
);
