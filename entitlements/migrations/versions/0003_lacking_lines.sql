-- For counting the invoices that lack lines, as `entitlements/incomplete.py` does; a test compares it with the tables.

CREATE INDEX invoices_lacking_lines ON invoices (integration, invoice) WHERE NOT lines_complete;
