-- What happened in the turns of runs, a row for what was new in some 100 ms. A turn is known by the
-- seq at which the log stood when it began.
CREATE TABLE events (
    no INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    run INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    first INTEGER NOT NULL,
    until INTEGER NOT NULL,
    events BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_first ON events (thread, run, turn, first);
CREATE INDEX events_until ON events (until);

-- An item that the run wrote was erased: its events are gone, and none are kept any more.
ALTER TABLE runs ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
