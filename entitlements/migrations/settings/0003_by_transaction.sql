-- By what the query process reads on, as `entitlements/orgs.py` and `entitlements/keys.py` say; a test compares them.

CREATE INDEX orgs_by_xid ON orgs (xid);

CREATE INDEX api_keys_by_xid ON api_keys (xid);
