-- The times and the plan that an invoice's snapshot gives, as `entitlements/tables.py` says; a test compares the two.

-- What was recorded before says nothing of it, so the consumer `invoices` reads the log again from its beginning.
TRUNCATE invoices;
DELETE FROM consumer_offsets WHERE consumer_group = 'invoices';

ALTER TABLE invoices
    ADD COLUMN finalized_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN uncollectible_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN voided_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN paid_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN invoice_plan TEXT NOT NULL,
    ADD CONSTRAINT invoices_paid_only_when_paid CHECK (paid_at is null or status = 'paid'),
    ADD CONSTRAINT invoices_voided_only_when_void CHECK (voided_at is null or status = 'void');

COMMENT ON COLUMN invoices.finalized_at IS 'this and the next three: as the snapshot gives it';

COMMENT ON COLUMN invoices.invoice_plan IS 'the metadata''s entitlement_plan; empty: none';

COMMENT ON TABLE invoices IS 'What a person is shown of an invoice; decides what left-out lines hide, and nothing else';
