-- Whose a cart is, one of three columns says.
CREATE TABLE cart (
  cart_id TEXT PRIMARY KEY,
  user_id TEXT UNIQUE,
  guest_hash TEXT UNIQUE,
  share_hash TEXT UNIQUE,
  -- Who shared it; of a shared copy alone.
  shared_by TEXT,
  -- Who took a guest's cart over. The row stays until it expires, so that saying it again finds that it is done.
  merged_by TEXT,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  expire_time BIGINT,
  CHECK ((CASE WHEN user_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN guest_hash IS NULL THEN 0 ELSE 1 END)
    + (CASE WHEN share_hash IS NULL THEN 0 ELSE 1 END) = 1),
  CHECK ((user_id IS NULL) = (expire_time IS NOT NULL)),
  CHECK ((share_hash IS NULL) = (shared_by IS NULL))
);
CREATE INDEX cart_expire ON cart (expire_time) WHERE expire_time IS NOT NULL;
CREATE INDEX cart_shared_by ON cart (shared_by, create_time) WHERE shared_by IS NOT NULL;

-- Title, picture and price are those of when the product was put in last.
CREATE TABLE cart_line (
  cart_id TEXT NOT NULL REFERENCES cart (cart_id) ON DELETE CASCADE,
  product_id TEXT NOT NULL,
  seller_id TEXT NOT NULL,
  title TEXT NOT NULL,
  image_id TEXT NOT NULL,
  quantity BIGINT NOT NULL CHECK (quantity BETWEEN 1 AND 99),
  added_price BIGINT NOT NULL CHECK (added_price >= 0),
  add_time BIGINT NOT NULL,
  PRIMARY KEY (cart_id, product_id)
);

CREATE TABLE wish (
  user_id TEXT NOT NULL,
  product_id TEXT NOT NULL,
  seller_id TEXT NOT NULL,
  title TEXT NOT NULL,
  image_id TEXT NOT NULL,
  added_price BIGINT NOT NULL CHECK (added_price >= 0),
  add_time BIGINT NOT NULL,
  PRIMARY KEY (user_id, product_id)
);
CREATE INDEX wish_newest ON wish (user_id, add_time, product_id);
