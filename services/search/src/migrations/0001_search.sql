-- What can be found: a row a document, made of events. The indexes are made of these rows alone.
CREATE TABLE document (
  kind TEXT NOT NULL,
  document_id TEXT NOT NULL,
  -- Of the last event that made the body; 0 before the first.
  version BIGINT NOT NULL,
  body BYTES NOT NULL,
  placed BIGINT NOT NULL CHECK (placed >= 0),
  paid BIGINT NOT NULL CHECK (paid >= 0),
  deleted BOOLEAN NOT NULL,
  -- The order of changes, see store/document.rs.
  seq BIGINT NOT NULL,
  event_time BIGINT NOT NULL,
  PRIMARY KEY (kind, document_id)
);
CREATE INDEX document_seq ON document (kind, seq, document_id);

-- The last place in the order of changes; SQLite alone.
CREATE TABLE change (
  kind TEXT PRIMARY KEY,
  seq BIGINT NOT NULL
);

-- What an open order counts for, until it is paid or cancelled.
CREATE TABLE ordered (
  order_id TEXT NOT NULL,
  document_id TEXT NOT NULL,
  PRIMARY KEY (order_id, document_id)
);

CREATE TABLE query_day (
  kind TEXT NOT NULL,
  -- Days since 1970, UTC.
  day BIGINT NOT NULL,
  query TEXT NOT NULL,
  searches BIGINT NOT NULL,
  zero_hits BIGINT NOT NULL,
  clicks BIGINT NOT NULL,
  -- The sum of the places of clicked hits.
  positions BIGINT NOT NULL,
  PRIMARY KEY (kind, day, query)
);

CREATE TABLE synonym_set (
  synonym_set_id TEXT PRIMARY KEY,
  -- A JSON list of lists.
  words TEXT NOT NULL,
  version BIGINT NOT NULL
);
