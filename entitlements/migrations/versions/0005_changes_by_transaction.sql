-- By what the query process reads on in changes, as `entitlements/ledger.py` says; a test compares the two.

CREATE INDEX changes_by_xid ON changes (xid);
