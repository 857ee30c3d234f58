-- What happened in the turns of runs, a row for what was new in some 100 ms. A turn is known by the
-- seq at which the log stood when it began.
CREATE TABLE events (
    thread_id text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    turn bigint NOT NULL,
    first bigint NOT NULL,
    until bigint NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (thread_id, run, turn, first)
);
CREATE INDEX events_until ON events (until);

-- An item that the run wrote was erased: its events are gone, and none are kept any more.
ALTER TABLE runs ADD COLUMN forgotten boolean NOT NULL DEFAULT false;
