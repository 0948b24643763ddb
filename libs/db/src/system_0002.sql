-- The trail of audited calls: insert only, each row bound to the one before it in its chain.
CREATE TABLE audit (
  chain BIGINT NOT NULL,
  seq BIGINT NOT NULL CHECK (seq > 0),
  time BIGINT NOT NULL,
  actor TEXT NOT NULL,
  method TEXT NOT NULL,
  -- Ids and amounts of the request: nothing personal.
  subject TEXT NOT NULL,
  code TEXT NOT NULL,
  trace TEXT NOT NULL,
  prev_hash BYTES NOT NULL,
  hash BYTES NOT NULL,
  PRIMARY KEY (chain, seq)
);
-- The end of each chain; whoever appends to it locks its row.
CREATE TABLE audit_head (chain BIGINT PRIMARY KEY, seq BIGINT NOT NULL, hash BYTES NOT NULL);
--@sqlite
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is insert only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is insert only'); END;
--@postgres
CREATE FUNCTION audit_insert_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit is insert only';
END $$;
CREATE TRIGGER audit_insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION audit_insert_only();
--@all
