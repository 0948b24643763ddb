-- The page of our own that a charge may be confirmed from, by what nobody can guess; what its buyer's browser came back with, and
-- when the provider was told to go on (0: it was not). Empty in older rows, whose providers need none.
ALTER TABLE charge ADD COLUMN checkout_token TEXT NOT NULL DEFAULT '';
ALTER TABLE charge ADD COLUMN slip TEXT NOT NULL DEFAULT '';
ALTER TABLE charge ADD COLUMN confirm_time BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX charge_checkout ON charge (checkout_token) WHERE checkout_token <> '';
