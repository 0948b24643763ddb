CREATE TABLE category (
  category_id TEXT PRIMARY KEY,
  parent_id TEXT NOT NULL,
  name_ko TEXT NOT NULL,
  name_en TEXT NOT NULL,
  position BIGINT NOT NULL,
  create_time BIGINT NOT NULL
);

CREATE TABLE product (
  product_id TEXT PRIMARY KEY,
  seller_id TEXT NOT NULL,
  title TEXT NOT NULL,
  description TEXT NOT NULL,
  price BIGINT NOT NULL CHECK (price >= 0),
  category_id TEXT NOT NULL,
  region_id TEXT NOT NULL,
  condition BIGINT NOT NULL,
  status BIGINT NOT NULL,
  stock BIGINT NOT NULL CHECK (stock >= 0),
  tags TEXT NOT NULL,
  like_count BIGINT NOT NULL,
  view_count BIGINT NOT NULL,
  version BIGINT NOT NULL,
  deleted BOOLEAN NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL
);
-- One index for each order, and one for each filter that leaves few rows, in the order that is asked for most.
CREATE INDEX product_newest ON product (create_time, product_id);
CREATE INDEX product_price ON product (price, product_id);
CREATE INDEX product_liked ON product (like_count, product_id);
CREATE INDEX product_region ON product (region_id, create_time, product_id);
CREATE INDEX product_category ON product (category_id, create_time, product_id);
CREATE INDEX product_seller ON product (seller_id, create_time, product_id);

CREATE TABLE product_like (
  product_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (product_id, user_id)
);
CREATE INDEX product_like_user ON product_like (user_id, create_time);

CREATE TABLE like_slot (
  product_id TEXT NOT NULL,
  slot BIGINT NOT NULL,
  likes BIGINT NOT NULL CHECK (likes >= 0),
  changes BIGINT NOT NULL,
  folded BIGINT NOT NULL,
  PRIMARY KEY (product_id, slot)
);
CREATE INDEX like_slot_dirty ON like_slot (product_id) WHERE changes <> folded;
