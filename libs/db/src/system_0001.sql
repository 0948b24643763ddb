-- Event store and the truth behind the bus. Insert only; `part` is the partition that relays it.
CREATE TABLE event (
  seq AUTO_ID,
  event_id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  aggregate TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  version BIGINT NOT NULL CHECK (version > 0),
  type TEXT NOT NULL,
  payload BYTES NOT NULL,
  actor TEXT NOT NULL,
  traceparent TEXT,
  time BIGINT NOT NULL,
  part BIGINT NOT NULL,
  UNIQUE (aggregate, aggregate_id, version)
);
--@sqlite
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'event is insert only'); END;
CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'event is insert only'); END;
--@postgres
CREATE FUNCTION event_insert_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'event is insert only';
END $$;
CREATE TRIGGER event_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
  FOR EACH STATEMENT EXECUTE FUNCTION event_insert_only();
--@all

-- Events that are not known to be published.
CREATE TABLE outbox (event_id TEXT PRIMARY KEY, part BIGINT NOT NULL, seq BIGINT NOT NULL);
CREATE INDEX outbox_part ON outbox (part, seq);

-- The last version of each aggregate that a consumer has applied.
CREATE TABLE inbox (
  consumer TEXT NOT NULL,
  source TEXT NOT NULL,
  aggregate TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (consumer, source, aggregate, aggregate_id)
);

-- How far a consumer of the embedded bus has read a service's event table.
CREATE TABLE consumer_cursor (
  consumer TEXT NOT NULL,
  source TEXT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (consumer, source)
);

-- Answers to requests that carried a key.
CREATE TABLE idempotency (
  principal TEXT NOT NULL,
  method TEXT NOT NULL,
  request_id TEXT NOT NULL,
  fingerprint BYTES NOT NULL,
  response BYTES,
  time BIGINT NOT NULL,
  PRIMARY KEY (principal, method, request_id)
);
CREATE INDEX idempotency_time ON idempotency (time);

-- Who alone may do a thing until when (the database's clock); the epoch only grows.
CREATE TABLE lease (name TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch BIGINT NOT NULL, expires BIGINT NOT NULL);

-- Events that a consumer gave up on.
CREATE TABLE dead_letter (
  consumer TEXT NOT NULL,
  event_id TEXT NOT NULL,
  position BIGINT NOT NULL,
  envelope BYTES NOT NULL,
  error TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  time BIGINT NOT NULL,
  replayed_at BIGINT,
  PRIMARY KEY (consumer, event_id)
);
CREATE INDEX dead_letter_time ON dead_letter (time, consumer, event_id);

-- Disposable: what folding an aggregate's events gave, under one schema of the state.
CREATE TABLE snapshot (
  aggregate TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  schema_hash TEXT NOT NULL,
  version BIGINT NOT NULL,
  state BYTES NOT NULL,
  PRIMARY KEY (aggregate, aggregate_id, schema_hash)
);

-- A person's data key, wrapped by the master key `key_id`. No key left: the person is erased.
CREATE TABLE person_key (
  person TEXT PRIMARY KEY,
  key_id TEXT NOT NULL,
  wrapped BYTES,
  erased_at BIGINT
);
CREATE INDEX person_key_key_id ON person_key (key_id, person);
