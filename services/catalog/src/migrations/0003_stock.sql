-- A JSON list of media ids.
ALTER TABLE product ADD COLUMN image_ids TEXT NOT NULL DEFAULT '[]';
-- Both 0: the seller didn't say.
ALTER TABLE product ADD COLUMN weight_grams BIGINT NOT NULL DEFAULT 0;
ALTER TABLE product ADD COLUMN sum_cm BIGINT NOT NULL DEFAULT 0;
ALTER TABLE product ADD COLUMN sold_out BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE product ADD COLUMN stock_changes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE product ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0 AND reserved <= stock);

-- Beside its product, in the same database. Rows stay: one that was released refuses a hold that comes later.
CREATE TABLE stock_hold (
  hold_id TEXT NOT NULL,
  product_id TEXT NOT NULL,
  quantity BIGINT NOT NULL CHECK (quantity > 0),
  status BIGINT NOT NULL,
  expire_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  PRIMARY KEY (hold_id, product_id)
);
-- Status 1 is held.
CREATE INDEX stock_hold_due ON stock_hold (expire_time) WHERE status = 1;
CREATE INDEX stock_hold_product ON stock_hold (product_id) WHERE status = 1;
