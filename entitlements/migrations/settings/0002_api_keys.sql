-- API keys, as `entitlements/keys.py` says; and both tables say whose commit makes a row visible. Rows of orgs that are
-- there already become this transaction's: they are new to whoever reads on from before it.

ALTER TABLE orgs ADD COLUMN xid xid8 DEFAULT pg_current_xact_id() NOT NULL;

COMMENT ON COLUMN orgs.xid IS 'whose commit makes this visible: a reader who goes on by it must wait for older ones';

CREATE TABLE api_keys (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    key TEXT NOT NULL,
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    marketplace TEXT,
    kind TEXT NOT NULL,
    holder TEXT NOT NULL,
    label TEXT,
    valid_until TIMESTAMP WITH TIME ZONE,
    set_by TEXT NOT NULL,
    set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    CONSTRAINT api_keys_key PRIMARY KEY (id),
    CONSTRAINT api_keys_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT api_keys_kind_is_known CHECK (kind in ('org', 'customer'))
);

CREATE INDEX api_keys_by_digest_id ON api_keys (digest, id);

CREATE INDEX api_keys_by_integration_kind_holder_key_id ON api_keys (integration, kind, holder, key, id);

CREATE INDEX api_keys_by_key_id ON api_keys (key, id);

COMMENT ON TABLE api_keys IS 'Whose an API key is, and until when; the latest row of a key counts';

COMMENT ON COLUMN api_keys.key IS 'its public name, key_…';

COMMENT ON COLUMN api_keys.digest IS 'SHA-256 of the key; the key itself is stored nowhere';

COMMENT ON COLUMN api_keys.marketplace IS 'NULL: for every marketplace of the integration';

COMMENT ON COLUMN api_keys.kind IS 'what the holder is named as: org, or customer';

COMMENT ON COLUMN api_keys.label IS 'what people call it';

COMMENT ON COLUMN api_keys.valid_until IS 'NULL: until it is revoked';

COMMENT ON COLUMN api_keys.xid IS 'whose commit makes this visible: a reader who goes on by it must wait for older ones';
