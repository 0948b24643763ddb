-- What somebody uploaded.
CREATE TABLE media (
  media_id TEXT PRIMARY KEY,
  owner_id TEXT NOT NULL,
  status BIGINT NOT NULL,
  -- Of its content; empty while nothing is uploaded, and when it was rejected.
  content_hash TEXT NOT NULL,
  content_type TEXT NOT NULL,
  byte_size BIGINT NOT NULL,
  reject_reason BIGINT NOT NULL,
  -- Where a presigned upload is to be, and until when; else empty and 0.
  upload_key TEXT NOT NULL,
  expire_time BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL
);
CREATE INDEX media_owner ON media (owner_id, media_id);
CREATE INDEX media_content ON media (content_hash) WHERE content_hash <> '';
CREATE INDEX media_awaiting ON media (expire_time) WHERE expire_time > 0;

-- Bytes that media are of: the same bytes once, however many media there are of them.
CREATE TABLE content (
  -- SHA-256 of what was uploaded.
  content_hash TEXT PRIMARY KEY,
  -- In the names of its objects, so that content which comes again after it went never shares one with what is being deleted.
  generation TEXT NOT NULL,
  ready BOOLEAN NOT NULL,
  -- What was uploaded; empty when it is ready.
  upload_key TEXT NOT NULL,
  width BIGINT NOT NULL,
  height BIGINT NOT NULL,
  perceptual_hash TEXT NOT NULL,
  refs BIGINT NOT NULL CHECK (refs > 0),
  attempts BIGINT NOT NULL,
  -- Somebody works on it until then.
  lease_until BIGINT NOT NULL,
  create_time BIGINT NOT NULL
);
CREATE INDEX content_work ON content (ready, lease_until);

-- A variant in one format, as it lies in the object store.
CREATE TABLE object (
  object_key TEXT PRIMARY KEY,
  content_hash TEXT NOT NULL,
  variant TEXT NOT NULL,
  content_type TEXT NOT NULL,
  width BIGINT NOT NULL,
  height BIGINT NOT NULL,
  byte_size BIGINT NOT NULL,
  etag TEXT NOT NULL,
  UNIQUE (content_hash, variant, content_type)
);

-- Objects that no row needs any more and that have to be deleted.
CREATE TABLE garbage (
  object_key TEXT PRIMARY KEY,
  create_time BIGINT NOT NULL
);
