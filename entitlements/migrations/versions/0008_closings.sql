-- Which event told a dispute's status, as `entitlements/reversal_tables.py` says; a test compares the two.

-- What was recorded before does not say it, so the consumer `revocations` reads the log again from its beginning.
TRUNCATE disputes;
DELETE FROM consumer_offsets WHERE consumer_group = 'revocations';

ALTER TABLE disputes ADD COLUMN is_closing BOOLEAN NOT NULL;

COMMENT ON COLUMN disputes.is_closing IS 'told by the event that closes a dispute';
