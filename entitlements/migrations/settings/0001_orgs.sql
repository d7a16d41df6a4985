-- The settings' first shape. It is what `entitlements/orgs.py` says, as SQL; a test compares the two.

CREATE TABLE orgs (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    integration TEXT NOT NULL,
    org TEXT NOT NULL,
    customer TEXT,
    set_by TEXT NOT NULL,
    set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT orgs_key PRIMARY KEY (id)
);

CREATE INDEX orgs_by_integration_org_id ON orgs (integration, org, id);

COMMENT ON TABLE orgs IS 'Which customer an operator said an org is; the latest row of an org counts';

COMMENT ON COLUMN orgs.customer IS 'NULL: the name was taken away';
