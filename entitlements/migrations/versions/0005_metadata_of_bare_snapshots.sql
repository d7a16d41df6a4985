-- The plan that an invoice's metadata names, as `entitlements/tables.py` says; a test compares the two.

-- What was recorded before says nothing of it, so the consumer `invoices` reads the log again from its beginning.
TRUNCATE invoices;
DELETE FROM consumer_offsets WHERE consumer_group = 'invoices';

ALTER TABLE invoices ADD COLUMN invoice_plan TEXT NOT NULL;

COMMENT ON COLUMN invoices.invoice_plan IS 'the metadata''s entitlement_plan; empty: none';

COMMENT ON TABLE invoices IS 'What a person is shown of an invoice; decides what left-out lines hide, and nothing else';
