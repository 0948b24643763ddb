CREATE TABLE profile (
  user_id TEXT PRIMARY KEY,
  sealed BYTES NOT NULL,
  region_id TEXT NOT NULL,
  locale TEXT NOT NULL,
  version BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL
);

CREATE TABLE address (
  address_id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  sealed BYTES NOT NULL,
  is_default BOOLEAN NOT NULL,
  version BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL
);
CREATE INDEX address_user ON address (user_id, address_id);
CREATE UNIQUE INDEX address_default ON address (user_id) WHERE is_default;

-- Every answer that was ever given; the newest version of a purpose counts.
CREATE TABLE consent (
  user_id TEXT NOT NULL,
  purpose BIGINT NOT NULL,
  version BIGINT NOT NULL,
  granted BOOLEAN NOT NULL,
  document_version BIGINT NOT NULL,
  decide_time BIGINT NOT NULL,
  PRIMARY KEY (user_id, purpose, version)
);

CREATE TABLE points_balance (
  user_id TEXT PRIMARY KEY,
  balance BIGINT NOT NULL CHECK (balance >= 0),
  entries BIGINT NOT NULL
);

CREATE TABLE points_entry (
  entry_id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  occasion TEXT NOT NULL,
  delta BIGINT NOT NULL CHECK (delta <> 0),
  balance BIGINT NOT NULL CHECK (balance >= 0),
  reason TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  UNIQUE (user_id, seq),
  UNIQUE (user_id, occasion)
);

--@sqlite
CREATE TRIGGER consent_keep_update BEFORE UPDATE ON consent BEGIN SELECT RAISE(ABORT, 'consents are only added'); END;
CREATE TRIGGER consent_keep_delete BEFORE DELETE ON consent BEGIN SELECT RAISE(ABORT, 'consents are only added'); END;
CREATE TRIGGER points_keep_update BEFORE UPDATE ON points_entry BEGIN SELECT RAISE(ABORT, 'points entries are only added'); END;
CREATE TRIGGER points_keep_delete BEFORE DELETE ON points_entry BEGIN SELECT RAISE(ABORT, 'points entries are only added'); END;
--@postgres
CREATE FUNCTION user_only_added() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% rows are only added', TG_TABLE_NAME; END $$;
CREATE TRIGGER consent_keep BEFORE UPDATE OR DELETE ON consent FOR EACH ROW EXECUTE FUNCTION user_only_added();
CREATE TRIGGER points_keep BEFORE UPDATE OR DELETE ON points_entry FOR EACH ROW EXECUTE FUNCTION user_only_added();
--@all
