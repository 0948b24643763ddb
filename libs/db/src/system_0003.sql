--@sqlite
-- Without a number for each row its key is stored once, not twice.
CREATE TABLE inbox_keyed (
  consumer TEXT NOT NULL,
  source TEXT NOT NULL,
  aggregate TEXT NOT NULL,
  aggregate_id TEXT NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (consumer, source, aggregate, aggregate_id)
) WITHOUT ROWID;
INSERT INTO inbox_keyed SELECT consumer, source, aggregate, aggregate_id, version FROM inbox;
DROP TABLE inbox;
ALTER TABLE inbox_keyed RENAME TO inbox;
--@all
