-- What operators do about dead letters and have read again, as `entitlements/letters.py` and `entitlements/replays.py`
-- say; a test compares them.

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

CREATE TABLE replays (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    facts_schema TEXT NOT NULL,
    asked TEXT NOT NULL,
    groups JSONB NOT NULL,
    spans JSONB NOT NULL,
    letters JSONB NOT NULL,
    begun_by TEXT NOT NULL,
    begun_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT replays_key PRIMARY KEY (id)
);

COMMENT ON TABLE replays IS 'A part of the log that an operator had read again';

COMMENT ON COLUMN replays.facts_schema IS 'where it records';

COMMENT ON COLUMN replays.asked IS 'what was asked for, in words';

COMMENT ON COLUMN replays.groups IS 'consumer groups that read again';

COMMENT ON COLUMN replays.spans IS '[[topic, partition, first offset, next offset behind], ...]';

COMMENT ON COLUMN replays.letters IS 'ids of the dead letters that were open there when it began';

CREATE TABLE replay_steps (
    replay BIGINT NOT NULL,
    step INTEGER NOT NULL,
    span INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    records INTEGER NOT NULL,
    outcomes JSONB NOT NULL,
    learnt JSONB NOT NULL,
    done_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT replay_steps_key PRIMARY KEY (replay, step),
    CONSTRAINT replay_steps_replay_of_replays FOREIGN KEY (replay) REFERENCES replays (id)
);

COMMENT ON TABLE replay_steps IS 'A batch of a replay that is recorded';

COMMENT ON COLUMN replay_steps.span IS 'which of the replay''s spans comes next, from 0 on';

COMMENT ON COLUMN replay_steps.next_offset IS 'where in it';

COMMENT ON COLUMN replay_steps.outcomes IS 'how many records came to what, over all groups';

COMMENT ON COLUMN replay_steps.learnt IS 'how many facts were new or changed something, by table';
