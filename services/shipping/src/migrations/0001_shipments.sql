CREATE TABLE shipment (
  shipment_id TEXT PRIMARY KEY,
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL CHECK (part > 0),
  buyer_id TEXT NOT NULL,
  seller_id TEXT NOT NULL,
  option BIGINT NOT NULL,
  status BIGINT NOT NULL,
  fee BIGINT NOT NULL CHECK (fee >= 0),
  weight_grams BIGINT NOT NULL,
  sum_cm BIGINT NOT NULL,
  from_region_id TEXT NOT NULL,
  carrier TEXT NOT NULL,
  tracking_number TEXT NOT NULL,
  store_id TEXT NOT NULL,
  seen_time BIGINT NOT NULL,
  sealed BYTES NOT NULL,
  lines BIGINT NOT NULL,
  version BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  UNIQUE (order_id, part)
);
CREATE INDEX shipment_buyer ON shipment (buyer_id, shipment_id);
CREATE INDEX shipment_seller ON shipment (seller_id, shipment_id);

-- Cancelled before anything was prepared; part 0 is all of the order.
CREATE TABLE tombstone (
  order_id TEXT NOT NULL,
  part BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, part)
);

-- What a carrier was asked to do. `state`: see store/booking.rs.
CREATE TABLE booking (
  shipment_id TEXT PRIMARY KEY,
  booking_key TEXT NOT NULL UNIQUE,
  carrier TEXT NOT NULL,
  store_id TEXT NOT NULL,
  own BOOLEAN NOT NULL,
  state BIGINT NOT NULL,
  tracking_number TEXT NOT NULL,
  sealed_label BYTES NOT NULL,
  tries BIGINT NOT NULL,
  due_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX booking_number ON booking (carrier, tracking_number) WHERE tracking_number <> '';
CREATE INDEX booking_due ON booking (state, due_time);

CREATE TABLE tracking (
  shipment_id TEXT NOT NULL,
  sequence BIGINT NOT NULL,
  event_id TEXT NOT NULL,
  status BIGINT NOT NULL,
  place TEXT NOT NULL,
  time BIGINT NOT NULL,
  late BOOLEAN NOT NULL,
  PRIMARY KEY (shipment_id, sequence),
  UNIQUE (shipment_id, event_id)
);

-- The live handover code of a meeting; never the code itself.
CREATE TABLE handover (
  shipment_id TEXT PRIMARY KEY,
  issuer_id TEXT NOT NULL,
  tag BYTES NOT NULL,
  attempts BIGINT NOT NULL,
  expire_time BIGINT NOT NULL
);

-- The sandbox carriers' own books: not ours, and only filled where the sandbox is on.
CREATE TABLE sandbox_parcel (
  tracking_number TEXT PRIMARY KEY,
  carrier TEXT NOT NULL,
  booking_key TEXT NOT NULL UNIQUE,
  from_place TEXT NOT NULL,
  to_place TEXT NOT NULL,
  cancelled BOOLEAN NOT NULL,
  reported BIGINT NOT NULL,
  done BOOLEAN NOT NULL,
  create_time BIGINT NOT NULL
);
CREATE INDEX sandbox_open ON sandbox_parcel (done, create_time);

--@sqlite
CREATE TRIGGER tracking_keep_update BEFORE UPDATE ON tracking BEGIN SELECT RAISE(ABORT, 'tracking lines are only added'); END;
CREATE TRIGGER tracking_keep_delete BEFORE DELETE ON tracking BEGIN SELECT RAISE(ABORT, 'tracking lines are only added'); END;
--@postgres
CREATE FUNCTION shipping_only_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% rows are only added', TG_TABLE_NAME; END $$;
CREATE TRIGGER tracking_keep BEFORE UPDATE OR DELETE ON tracking FOR EACH ROW EXECUTE FUNCTION shipping_only_added();
--@all
