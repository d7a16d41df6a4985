-- What operators do about dead letters, as `entitlements/letters.py` says; a test compares the two.

CREATE TABLE letter_acts (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    consumer_group TEXT NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" BIGINT NOT NULL,
    cluster_id TEXT NOT NULL,
    topic_id TEXT NOT NULL,
    act TEXT NOT NULL,
    came_to TEXT,
    reason TEXT,
    done_by TEXT NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT letter_acts_key PRIMARY KEY (id),
    CONSTRAINT letter_acts_act_is_known CHECK (act in ('redriven', 'discarded')),
    CONSTRAINT letter_acts_a_redrive_comes_to_something CHECK ((act = 'redriven') = (came_to is not null)),
    CONSTRAINT letter_acts_nothing_is_discarded_without_a_reason CHECK (act = 'redriven' or reason <> '')
);

CREATE INDEX letter_acts_by_consumer_group_topic_partition_offset_id
    ON letter_acts (consumer_group, topic, partition, "offset", id);

COMMENT ON TABLE letter_acts IS
    'What operators did about dead letters; the letters themselves lie beside the facts';

COMMENT ON COLUMN letter_acts.came_to IS 'of a redrive: the record''s outcome';

COMMENT ON COLUMN letter_acts.reason IS 'why it was discarded, or failed again';
