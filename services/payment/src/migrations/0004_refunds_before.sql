-- What the refunds before it gave back as money, so that refunds of a charge in another currency add up to it. 0 in older rows,
-- whose providers take won.
ALTER TABLE refund ADD COLUMN money_before BIGINT NOT NULL DEFAULT 0 CHECK (money_before >= 0);
