-- Parts of orders that were completed.
CREATE TABLE trade (
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  buyer_id TEXT NOT NULL,
  seller_id TEXT NOT NULL,
  -- Ids with a blank between them.
  product_ids TEXT NOT NULL,
  by_deadline BOOLEAN NOT NULL,
  buyer_wrote BOOLEAN NOT NULL,
  seller_wrote BOOLEAN NOT NULL,
  reveal_time BIGINT NOT NULL,
  write_until BIGINT NOT NULL,
  PRIMARY KEY (order_id, part)
);
CREATE INDEX trade_buyer ON trade (buyer_id);
CREATE INDEX trade_seller ON trade (seller_id);

-- When orders that are not closed yet were paid, and how fast their parts left.
CREATE TABLE paid_order (
  order_id TEXT PRIMARY KEY,
  paid_time BIGINT NOT NULL
);
CREATE TABLE shipped_part (
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  seller_id TEXT NOT NULL,
  on_time BOOLEAN NOT NULL,
  PRIMARY KEY (order_id, part)
);
CREATE INDEX shipped_part_seller ON shipped_part (seller_id);

CREATE TABLE review (
  review_id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  author_id TEXT NOT NULL,
  subject_id TEXT NOT NULL,
  -- Numbers of the proto's enums.
  subject_role BIGINT NOT NULL,
  status BIGINT NOT NULL,
  rating BIGINT NOT NULL CHECK (rating BETWEEN 1 AND 5),
  -- The text, by the author's key; empty: none.
  sealed BYTES NOT NULL,
  -- Keyed; finds the same text of the same author.
  text_hash TEXT NOT NULL,
  score BIGINT NOT NULL,
  -- A HeldReview message of which the findings alone are filled.
  findings BYTES NOT NULL,
  reject_reason TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  -- 0: nobody but the author has seen it.
  reveal_time BIGINT NOT NULL,
  FOREIGN KEY (order_id, part) REFERENCES trade (order_id, part),
  UNIQUE (order_id, part, subject_role)
);
CREATE INDEX review_received ON review (subject_id, status, reveal_time, review_id);
CREATE INDEX review_written ON review (author_id, create_time, review_id);
CREATE INDEX review_waiting ON review (order_id, part) WHERE status = 1;
CREATE INDEX review_held ON review (review_id) WHERE status = 2;

CREATE TABLE review_tag (
  review_id TEXT NOT NULL REFERENCES review (review_id),
  tag BIGINT NOT NULL,
  PRIMARY KEY (review_id, tag)
);

CREATE TABLE product_rating (
  review_id TEXT NOT NULL REFERENCES review (review_id),
  product_id TEXT NOT NULL,
  rating BIGINT NOT NULL CHECK (rating BETWEEN 1 AND 5),
  -- That of the review; 0 while it can't be seen.
  reveal_time BIGINT NOT NULL,
  PRIMARY KEY (review_id, product_id)
);
CREATE INDEX product_rating_newest ON product_rating (product_id, reveal_time, review_id);

-- Thousandths of a degree.
CREATE TABLE temperature (
  user_id TEXT PRIMARY KEY,
  milli BIGINT NOT NULL CHECK (milli BETWEEN 0 AND 99000),
  entries BIGINT NOT NULL
);

CREATE TABLE temperature_entry (
  change_id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  -- 1, 2, 3 … for each person.
  seq BIGINT NOT NULL,
  -- What did it, once and for ever.
  occasion TEXT NOT NULL,
  reason BIGINT NOT NULL,
  delta BIGINT NOT NULL CHECK (delta <> 0),
  before_milli BIGINT NOT NULL CHECK (before_milli BETWEEN 0 AND 99000),
  after_milli BIGINT NOT NULL CHECK (after_milli BETWEEN 0 AND 99000),
  -- Empty when no review did it.
  review_id TEXT NOT NULL,
  rater_id TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  CHECK (after_milli = before_milli + delta),
  UNIQUE (user_id, seq),
  UNIQUE (user_id, occasion)
);
CREATE INDEX temperature_entry_rater ON temperature_entry (user_id, rater_id, create_time);

--@sqlite
CREATE TRIGGER temperature_keep_update BEFORE UPDATE ON temperature_entry BEGIN SELECT RAISE(ABORT, 'temperature entries are only added'); END;
CREATE TRIGGER temperature_keep_delete BEFORE DELETE ON temperature_entry BEGIN SELECT RAISE(ABORT, 'temperature entries are only added'); END;
--@postgres
CREATE FUNCTION review_only_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% rows are only added', TG_TABLE_NAME; END $$;
CREATE TRIGGER temperature_keep BEFORE UPDATE OR DELETE ON temperature_entry FOR EACH ROW EXECUTE FUNCTION review_only_added();
--@all
