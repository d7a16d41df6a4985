-- By what the records of an invoice's payment are found, as `entitlements/ledger.py` says; a test compares the two.

CREATE INDEX provenance_by_facts ON provenance USING gin (facts) WHERE starts_with(event_type, 'invoice_payment.');
