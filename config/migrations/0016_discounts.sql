-- Lines that are bought below their list price: by a slot of a flash sale, or with a coupon.

ALTER TABLE grants ADD COLUMN discount bigint NOT NULL DEFAULT 0 CHECK (discount >= 0);
COMMENT ON COLUMN grants.price IS 'What was paid for the course, in minor units: the list price of its version less the discount.';
COMMENT ON COLUMN grants.discount IS 'What was not paid of the list price, in minor units.';
