-- The first shape of the database. It is what `entitlements/tables.py` and `entitlements/ledger.py` say, as SQL; a test
-- compares the two. No table names its schema: the migration runs with that schema first in `search_path`.

CREATE TABLE grants (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    invoice TEXT NOT NULL,
    line TEXT NOT NULL,
    status TEXT NOT NULL,
    finalized_at TIMESTAMP WITH TIME ZONE,
    paid_at TIMESTAMP WITH TIME ZONE,
    invoice_created TIMESTAMP WITH TIME ZONE NOT NULL,
    billing_reason TEXT,
    due_date TIMESTAMP WITH TIME ZONE,
    subscription TEXT,
    subscription_item TEXT,
    price TEXT,
    amount BIGINT NOT NULL,
    quantity NUMERIC,
    period_start TIMESTAMP WITH TIME ZONE NOT NULL,
    period_end TIMESTAMP WITH TIME ZONE NOT NULL,
    proration BOOLEAN NOT NULL,
    usage_type TEXT,
    line_plan TEXT NOT NULL,
    price_plan TEXT,
    invoice_plan TEXT NOT NULL,
    stated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT grants_key PRIMARY KEY (digest),
    CONSTRAINT grants_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT grants_not_of_a_draft CHECK (status in ('open', 'uncollectible', 'paid', 'void')),
    CONSTRAINT grants_paid_only_when_paid CHECK (paid_at is null or status = 'paid'),
    CONSTRAINT grants_not_of_a_credit_line CHECK (amount >= 0)
);

CREATE INDEX grants_by_integration_customer ON grants (integration, customer);

COMMENT ON TABLE grants IS 'A line of a customer''s invoice was billed or paid for a cycle; a row for each thing snapshots said of it';

COMMENT ON COLUMN grants.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN grants.status IS 'the invoice''s, as the snapshot showed it';

COMMENT ON COLUMN grants.amount IS 'in the currency''s smallest unit';

COMMENT ON COLUMN grants.usage_type IS 'NULL where the payload does not carry the price';

COMMENT ON COLUMN grants.line_plan IS 'the line''s metadata entitlement_plan; empty: none';

COMMENT ON COLUMN grants.price_plan IS 'the price''s; empty: none; NULL: the payload does not carry the price';

COMMENT ON COLUMN grants.invoice_plan IS 'the invoice''s; empty: none';

COMMENT ON COLUMN grants.stated_at IS 'smallest `created` of the Stripe events that say so';

CREATE TABLE revocations (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    kind TEXT NOT NULL,
    invoice TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE,
    status TEXT,
    line TEXT,
    finalized_at TIMESTAMP WITH TIME ZONE,
    subscription TEXT,
    subscription_item TEXT,
    price TEXT,
    period_start TIMESTAMP WITH TIME ZONE,
    credited_invoice TEXT,
    credited_lines TEXT[] NOT NULL,
    stated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT revocations_key PRIMARY KEY (digest),
    CONSTRAINT revocations_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT revocations_kind_is_known CHECK (kind in ('voided', 'marked_uncollectible', 'credited')),
    CONSTRAINT revocations_credit_names_its_line CHECK ((kind = 'credited') = (line is not null and period_start is not null and status is not null))
);

CREATE INDEX revocations_by_integration_customer ON revocations (integration, customer);

COMMENT ON TABLE revocations IS 'From then on, what came from this source is over';

COMMENT ON COLUMN revocations.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN revocations.at IS 'when, as the snapshot gives it';

COMMENT ON COLUMN revocations.status IS 'of a credit line''s invoice, as the snapshot showed it';

COMMENT ON COLUMN revocations.line IS 'the credit line';

COMMENT ON COLUMN revocations.stated_at IS 'smallest `created` of the Stripe events that say so';

CREATE TABLE invoices (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    invoice TEXT NOT NULL,
    status TEXT NOT NULL,
    number TEXT,
    subscription TEXT,
    currency TEXT,
    total BIGINT,
    amount_due BIGINT,
    amount_paid BIGINT,
    amount_remaining BIGINT,
    pay_at TEXT,
    created TIMESTAMP WITH TIME ZONE NOT NULL,
    due_date TIMESTAMP WITH TIME ZONE,
    lines_complete BOOLEAN NOT NULL,
    stated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT invoices_key PRIMARY KEY (digest),
    CONSTRAINT invoices_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT invoices_not_a_draft CHECK (status in ('open', 'uncollectible', 'paid', 'void'))
);

CREATE INDEX invoices_by_integration_customer ON invoices (integration, customer);

COMMENT ON TABLE invoices IS 'What a person is shown of an invoice; decides nothing';

COMMENT ON COLUMN invoices.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN invoices.pay_at IS 'Stripe''s hosted page of the invoice; opens it to whoever has it, so never logged';

COMMENT ON COLUMN invoices.lines_complete IS 'false: Stripe left lines out of the payload';

COMMENT ON COLUMN invoices.stated_at IS 'smallest `created` of the Stripe events that say so';

CREATE TABLE customers (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    CONSTRAINT customers_key PRIMARY KEY (digest),
    CONSTRAINT customers_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE UNIQUE INDEX customers_by_integration_customer ON customers (integration, customer);

COMMENT ON TABLE customers IS 'Stripe has named this customer';

COMMENT ON COLUMN customers.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

CREATE TABLE catalog_revisions (
    digest BYTEA NOT NULL,
    number INTEGER NOT NULL,
    in_force_from TIMESTAMP WITH TIME ZONE,
    applied_by TEXT NOT NULL,
    document TEXT NOT NULL,
    CONSTRAINT catalog_revisions_key PRIMARY KEY (digest),
    CONSTRAINT catalog_revisions_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT catalog_revisions_number_counts_from_one CHECK (number >= 1)
);

CREATE INDEX catalog_revisions_by_number ON catalog_revisions (number);

COMMENT ON TABLE catalog_revisions IS 'The catalogs that operators applied';

COMMENT ON COLUMN catalog_revisions.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN catalog_revisions.in_force_from IS 'NULL: from the beginning of time';

COMMENT ON COLUMN catalog_revisions.document IS 'the catalog as canonical JSON';

CREATE TABLE consumer_offsets (
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    cluster_id TEXT NOT NULL,
    topic_id TEXT NOT NULL,
    dead_letters_in_a_row INTEGER DEFAULT '0' NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT consumer_offsets_key PRIMARY KEY (consumer_group, topic, partition),
    CONSTRAINT consumer_offsets_offset_counts_from_zero CHECK (next_offset >= 0),
    CONSTRAINT consumer_offsets_dead_letters_are_counted CHECK (dead_letters_in_a_row >= 0)
);

COMMENT ON TABLE consumer_offsets IS 'Where each consumer group goes on; moved in the transaction that records what was read';

COMMENT ON COLUMN consumer_offsets.next_offset IS 'the last offset recorded, plus one';

COMMENT ON COLUMN consumer_offsets.cluster_id IS 'which Kafka: an offset means nothing in another one';

COMMENT ON COLUMN consumer_offsets.topic_id IS 'which topic of that name: one made anew starts over';

COMMENT ON COLUMN consumer_offsets.dead_letters_in_a_row IS 'dead letters since the last record that stated a fact; too many stop the consumer, restarts included';

COMMENT ON CONSTRAINT consumer_offsets_key ON consumer_offsets IS 'a group has one place to go on from in each partition';

COMMENT ON CONSTRAINT consumer_offsets_offset_counts_from_zero ON consumer_offsets IS 'Kafka''s offsets start at 0';

COMMENT ON CONSTRAINT consumer_offsets_dead_letters_are_counted ON consumer_offsets IS 'a count is not negative';

CREATE TABLE dead_letters (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    cluster_id TEXT NOT NULL,
    topic_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    key BYTEA,
    value BYTEA,
    headers JSONB NOT NULL,
    appended_at TIMESTAMP WITH TIME ZONE,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT dead_letters_key PRIMARY KEY (id),
    CONSTRAINT dead_letters_one_of_each_record UNIQUE (consumer_group, topic, partition, "offset", cluster_id, topic_id),
    CONSTRAINT dead_letters_has_a_reason CHECK (reason <> '')
);

COMMENT ON TABLE dead_letters IS 'Records that were set aside, as they were; their neighbours went on';

COMMENT ON COLUMN dead_letters.reason IS 'one line for people, safe to log';

COMMENT ON COLUMN dead_letters.detail IS 'the traceback or the database''s own words';

COMMENT ON COLUMN dead_letters.headers IS '[[name, base64 of the value or null], ...], in the record''s order';

COMMENT ON CONSTRAINT dead_letters_one_of_each_record ON dead_letters IS 'a record is set aside once in a group, however often it is read';

COMMENT ON CONSTRAINT dead_letters_has_a_reason ON dead_letters IS 'a dead letter without its cause is half useless';

CREATE TABLE provenance (
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    integration TEXT,
    event_id TEXT,
    event_type TEXT,
    event_created TIMESTAMP WITH TIME ZONE,
    object_id TEXT,
    customer TEXT,
    outcome TEXT NOT NULL,
    facts BYTEA[] NOT NULL,
    appended_at TIMESTAMP WITH TIME ZONE,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT provenance_key PRIMARY KEY (consumer_group, topic, partition, "offset"),
    CONSTRAINT provenance_outcome_is_known CHECK (outcome IN ('recorded', 'duplicate', 'ignored', 'dead_letter'))
);

CREATE INDEX provenance_by_integration_object_id ON provenance (integration, object_id);

CREATE INDEX provenance_by_integration_event_id ON provenance (integration, event_id);

COMMENT ON TABLE provenance IS 'What each record of the log came to in each group, and which facts it states';

COMMENT ON COLUMN provenance.facts IS 'digests of the facts that this record states';

COMMENT ON CONSTRAINT provenance_key ON provenance IS 'a record has one outcome in each group that reads it';

COMMENT ON CONSTRAINT provenance_outcome_is_known ON provenance IS 'every record ends in one of four outcomes';

CREATE TABLE changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    integration TEXT,
    customer TEXT,
    consumer_group TEXT NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT changes_key PRIMARY KEY (id)
);

COMMENT ON TABLE changes IS 'A group learned something new about a customer; the change feed numbers and announces it';

COMMENT ON COLUMN changes.integration IS 'null where the fact belongs to none, as a catalog revision';

COMMENT ON COLUMN changes.customer IS 'null where it is not known, or where the fact concerns everyone';

COMMENT ON COLUMN changes.xid IS 'whose commit makes this visible: ids are given before commits, so a reader must wait for older ones';

CREATE VIEW billed_lines AS
WITH newest AS (
    SELECT document::jsonb AS document FROM catalog_revisions ORDER BY number DESC, digest LIMIT 1
), plans AS (
    SELECT
        marketplaces.value ->> 'integration' AS integration,
        plans.key AS name,
        plans.value -> 'stripe_prices' AS prices
    FROM newest
    CROSS JOIN LATERAL jsonb_each(newest.document -> 'products') AS products
    CROSS JOIN LATERAL jsonb_each(products.value -> 'plans') AS plans
    JOIN LATERAL jsonb_each(newest.document -> 'marketplaces') AS marketplaces
        ON marketplaces.key = products.value ->> 'marketplace'
), said AS (
    SELECT
        integration, customer, invoice, line, period_start, period_end,
        max(price) AS price,
        max(quantity) AS quantity,
        max(nullif(line_plan, '')) AS line_plan,
        max(nullif(price_plan, '')) AS price_plan,
        CASE WHEN max(subscription) IS NULL AND max(subscription_item) IS NULL THEN max(nullif(invoice_plan, '')) END
            AS invoice_plan,
        coalesce(min(finalized_at), min(stated_at) FILTER (WHERE status = 'open')) AS finalized_at,
        coalesce(min(paid_at), min(stated_at) FILTER (WHERE status = 'paid')) AS paid_at
    FROM grants
    GROUP BY integration, customer, invoice, line, period_start, period_end
), ended AS (
    SELECT
        integration, customer, invoice,
        coalesce(min(at) FILTER (WHERE kind = 'marked_uncollectible'),
                 min(stated_at) FILTER (WHERE kind = 'marked_uncollectible')) AS marked_uncollectible_at,
        coalesce(min(at) FILTER (WHERE kind = 'voided'),
                 min(stated_at) FILTER (WHERE kind = 'voided')) AS voided_at
    FROM revocations
    GROUP BY integration, customer, invoice
)
SELECT
    said.integration,
    said.customer,
    said.invoice,
    said.line,
    said.price,
    (
        SELECT plans.name
        FROM plans
        WHERE plans.integration = said.integration
          AND (plans.name IN (said.line_plan, said.price_plan, said.invoice_plan) OR plans.prices ? said.price)
        ORDER BY
            plans.name = said.line_plan DESC NULLS LAST,
            plans.name = said.price_plan DESC NULLS LAST,
            plans.prices ? said.price DESC NULLS LAST
        LIMIT 1
    ) AS plan,
    said.quantity,
    said.period_start,
    said.period_end,
    said.finalized_at,
    said.paid_at,
    ended.marked_uncollectible_at,
    ended.voided_at
FROM said
LEFT JOIN ended USING (integration, customer, invoice);

COMMENT ON VIEW billed_lines IS
    'For people: each billed line, joined over its snapshots, with the plan that the newest catalog names for it. '
    'What decides, with the terms of the right revision, is entitlements/domain';
