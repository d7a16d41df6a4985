-- Refunds, disputes, credit notes, ended subscriptions and operators' acts, as `entitlements/reversal_tables.py` and
-- `entitlements/act_tables.py` say; a test compares the two.

-- What was recorded before says nothing of it, so consumers read the log again from its beginning.
TRUNCATE grants;
TRUNCATE consumer_offsets;

ALTER TABLE grants ADD COLUMN invoice_total BIGINT;

COMMENT ON COLUMN grants.invoice_total IS 'in the currency''s smallest unit';

ALTER TABLE changes ADD COLUMN payment TEXT;

COMMENT ON COLUMN changes.payment IS 'by which whose it is can be found, where the fact names a payment and no customer';
CREATE TABLE payment_links (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    invoice TEXT,
    payment_intent TEXT,
    charge TEXT,
    customer TEXT,
    CONSTRAINT payment_links_key PRIMARY KEY (digest),
    CONSTRAINT payment_links_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT payment_links_names_a_payment CHECK (num_nonnulls(payment_intent, charge) > 0),
    CONSTRAINT payment_links_links_something CHECK (num_nonnulls(invoice, payment_intent, charge, customer) > 1)
);

CREATE INDEX payment_links_by_integration_charge ON payment_links (integration, charge);

CREATE INDEX payment_links_by_integration_customer ON payment_links (integration, customer);

CREATE INDEX payment_links_by_integration_invoice ON payment_links (integration, invoice);

CREATE INDEX payment_links_by_integration_payment_intent ON payment_links (integration, payment_intent);

COMMENT ON TABLE payment_links IS 'These belong together: an invoice, what paid it, and whose it is';

COMMENT ON COLUMN payment_links.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

CREATE TABLE amounts_refunded (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    charge TEXT NOT NULL,
    payment_intent TEXT,
    amount BIGINT NOT NULL,
    stated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT amounts_refunded_key PRIMARY KEY (digest),
    CONSTRAINT amounts_refunded_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT amounts_refunded_refunds_something CHECK (amount > 0)
);

CREATE INDEX amounts_refunded_by_integration_charge ON amounts_refunded (integration, charge);

COMMENT ON TABLE amounts_refunded IS 'So much of a charge had been refunded in all; what had been before stays true';

COMMENT ON COLUMN amounts_refunded.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN amounts_refunded.amount IS 'in the currency''s smallest unit';

COMMENT ON COLUMN amounts_refunded.stated_at IS 'smallest `created` of the Stripe events that say so';

CREATE TABLE refunds (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    refund TEXT NOT NULL,
    charge TEXT,
    payment_intent TEXT,
    amount BIGINT NOT NULL,
    status TEXT NOT NULL,
    stated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT refunds_key PRIMARY KEY (digest),
    CONSTRAINT refunds_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE INDEX refunds_by_integration_charge ON refunds (integration, charge);

CREATE INDEX refunds_by_integration_payment_intent ON refunds (integration, payment_intent);

COMMENT ON TABLE refunds IS 'A refund of a payment had this status';

COMMENT ON COLUMN refunds.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN refunds.amount IS 'in the currency''s smallest unit';

COMMENT ON COLUMN refunds.status IS 'in Stripe''s words';

COMMENT ON COLUMN refunds.stated_at IS 'smallest `created` of the Stripe events that say so';

CREATE TABLE disputes (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    dispute TEXT NOT NULL,
    charge TEXT,
    payment_intent TEXT,
    status TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT disputes_key PRIMARY KEY (digest),
    CONSTRAINT disputes_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE INDEX disputes_by_integration_charge ON disputes (integration, charge);

CREATE INDEX disputes_by_integration_payment_intent ON disputes (integration, payment_intent);

COMMENT ON TABLE disputes IS 'A dispute over a payment had this status';

COMMENT ON COLUMN disputes.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN disputes.status IS 'in Stripe''s words';

COMMENT ON COLUMN disputes.at IS '`created` of the event; which of several closings counts, it decides';

CREATE TABLE credit_notes (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    credit_note TEXT NOT NULL,
    invoice TEXT NOT NULL,
    amount BIGINT NOT NULL,
    issued_at TIMESTAMP WITH TIME ZONE NOT NULL,
    is_void BOOLEAN NOT NULL,
    voided_at TIMESTAMP WITH TIME ZONE,
    names_refund BOOLEAN NOT NULL,
    lines TEXT[] NOT NULL,
    line_amounts BIGINT[] NOT NULL,
    stated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT credit_notes_key PRIMARY KEY (digest),
    CONSTRAINT credit_notes_digest_is_sha256 CHECK (octet_length(digest) = 32),
    CONSTRAINT credit_notes_voided_only_when_void CHECK (voided_at is null or is_void),
    CONSTRAINT credit_notes_each_line_has_its_amount CHECK (cardinality(lines) = cardinality(line_amounts))
);

CREATE INDEX credit_notes_by_integration_customer ON credit_notes (integration, customer);

COMMENT ON TABLE credit_notes IS 'A credit note for an invoice was issued, or voided again';

COMMENT ON COLUMN credit_notes.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN credit_notes.amount IS 'in the currency''s smallest unit';

COMMENT ON COLUMN credit_notes.names_refund IS 'then the refund counts, and not this';

COMMENT ON COLUMN credit_notes.lines IS 'the invoice''s lines that it credits';

COMMENT ON COLUMN credit_notes.line_amounts IS 'by how much, in the same order';

COMMENT ON COLUMN credit_notes.stated_at IS 'smallest `created` of the Stripe events that say so';

CREATE TABLE ended_subscriptions (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    subscription TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    stated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT ended_subscriptions_key PRIMARY KEY (digest),
    CONSTRAINT ended_subscriptions_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE INDEX ended_subscriptions_by_integration_customer ON ended_subscriptions (integration, customer);

COMMENT ON TABLE ended_subscriptions IS 'A subscription ended: no leeway and no unpaid terms from then on';

COMMENT ON COLUMN ended_subscriptions.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN ended_subscriptions.subscription IS 'NULL: every one, for the customer was deleted';

COMMENT ON COLUMN ended_subscriptions.stated_at IS 'smallest `created` of the Stripe events that say so';

CREATE TABLE manual_grants (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    id TEXT NOT NULL,
    plan TEXT,
    apis TEXT[] NOT NULL,
    start TIMESTAMP WITH TIME ZONE NOT NULL,
    "end" TIMESTAMP WITH TIME ZONE,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT manual_grants_key PRIMARY KEY (digest),
    CONSTRAINT manual_grants_of_a_plan_or_of_apis CHECK ((plan is null) = (cardinality(apis) > 0)),
    CONSTRAINT manual_grants_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE INDEX manual_grants_by_integration_customer ON manual_grants (integration, customer);

COMMENT ON TABLE manual_grants IS 'An operator opened a plan or APIs to a customer, whatever is paid';

COMMENT ON COLUMN manual_grants.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN manual_grants.id IS 'of the operator''s message';

COMMENT ON COLUMN manual_grants."end" IS 'NULL: for ever';

COMMENT ON COLUMN manual_grants.at IS 'when the operator said it';

CREATE TABLE manual_revocations (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    id TEXT NOT NULL,
    "grant" TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT manual_revocations_key PRIMARY KEY (digest),
    CONSTRAINT manual_revocations_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE INDEX manual_revocations_by_integration_customer ON manual_revocations (integration, customer);

COMMENT ON TABLE manual_revocations IS 'A manual grant is over from then on';

COMMENT ON COLUMN manual_revocations.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN manual_revocations.id IS 'of the operator''s message';

COMMENT ON COLUMN manual_revocations."grant" IS 'the manual grant''s id';

COMMENT ON COLUMN manual_revocations.at IS 'when the operator said it';

CREATE TABLE blocks (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    id TEXT NOT NULL,
    start TIMESTAMP WITH TIME ZONE NOT NULL,
    "end" TIMESTAMP WITH TIME ZONE,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT blocks_key PRIMARY KEY (digest),
    CONSTRAINT blocks_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE INDEX blocks_by_integration_customer ON blocks (integration, customer);

COMMENT ON TABLE blocks IS 'A customer may call nothing, whatever is paid';

COMMENT ON COLUMN blocks.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN blocks.id IS 'of the operator''s message';

COMMENT ON COLUMN blocks."end" IS 'NULL: until it is lifted';

COMMENT ON COLUMN blocks.at IS 'when the operator said it';

CREATE TABLE unblocks (
    digest BYTEA NOT NULL,
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    id TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT unblocks_key PRIMARY KEY (digest),
    CONSTRAINT unblocks_digest_is_sha256 CHECK (octet_length(digest) = 32)
);

CREATE INDEX unblocks_by_integration_customer ON unblocks (integration, customer);

COMMENT ON TABLE unblocks IS 'Every block of a customer that was said before is over from then on';

COMMENT ON COLUMN unblocks.digest IS 'SHA-256 of what the fact says: every other column but stated_at follows from it';

COMMENT ON COLUMN unblocks.id IS 'of the operator''s message';

COMMENT ON COLUMN unblocks.at IS 'when the operator said it';
