-- The change feed as `entitlements/feed.py` says; a test compares the two. Every change there is waits to be relayed,
-- so that the relay begins with all customers.

CREATE TABLE feed (
    integration TEXT NOT NULL,
    customer TEXT NOT NULL,
    seq BIGINT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    next_boundary TIMESTAMP WITH TIME ZONE,
    state JSONB NOT NULL,
    CONSTRAINT feed_key PRIMARY KEY (integration, customer),
    CONSTRAINT feed_seq_counts_from_one CHECK (seq >= 1)
);

CREATE UNIQUE INDEX feed_by_seq ON feed (seq);

CREATE INDEX feed_by_next_boundary ON feed (next_boundary) WHERE next_boundary IS NOT NULL;

COMMENT ON TABLE feed IS 'What gateways were last told of each customer, under the number of its last change';

COMMENT ON COLUMN feed.changed_at IS 'when it was last told another thing';

COMMENT ON COLUMN feed.next_boundary IS 'when time alone changes an answer next, and nobody has announced it yet';

COMMENT ON COLUMN feed.state IS 'the AccessChange as it is published';

COMMENT ON CONSTRAINT feed_key ON feed IS 'a customer has one latest state';

COMMENT ON CONSTRAINT feed_seq_counts_from_one ON feed IS 'after=0 is before the first';

CREATE TABLE feed_position (
    one BOOLEAN DEFAULT true NOT NULL,
    head BIGINT DEFAULT 0 NOT NULL,
    published BIGINT DEFAULT 0 NOT NULL,
    oldest BIGINT DEFAULT 0 NOT NULL,
    is_walking BOOLEAN DEFAULT false NOT NULL,
    walked_integration TEXT,
    walked_customer TEXT,
    CONSTRAINT feed_position_key PRIMARY KEY (one),
    CONSTRAINT feed_position_there_is_one CHECK (one),
    CONSTRAINT feed_position_published_is_numbered CHECK (published <= head)
);

INSERT INTO feed_position DEFAULT VALUES;

COMMENT ON TABLE feed_position IS 'How far the relay has come; one row';

COMMENT ON COLUMN feed_position.head IS 'the last number given';

COMMENT ON COLUMN feed_position.published IS 'up to which all is on the topic';

COMMENT ON COLUMN feed_position.oldest IS 'who knows less takes a snapshot';

COMMENT ON COLUMN feed_position.is_walking IS 'every customer is being looked at again, behind the one named last';

COMMENT ON CONSTRAINT feed_position_there_is_one ON feed_position IS 'a feed has one head';

COMMENT ON CONSTRAINT feed_position_published_is_numbered ON feed_position IS 'nothing is published that is not in the table';

ALTER TABLE changes ADD COLUMN relayed BOOLEAN DEFAULT false NOT NULL;

CREATE INDEX changes_to_relay ON changes (id) WHERE NOT relayed;

COMMENT ON COLUMN changes.relayed IS 'the relay has told whom it concerns; a mark, since ids and commits come in different orders';
