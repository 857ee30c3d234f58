-- Who works on a run, and when somebody else is to look after it: NULL for never.
ALTER TABLE runs ADD COLUMN holder TEXT;
ALTER TABLE runs ADD COLUMN due_at INTEGER;
UPDATE runs SET due_at = 0 WHERE status IN ('queued', 'in_progress', 'cancelling');
UPDATE runs SET due_at = nullif(body ->> '$.expires_at', 0) WHERE status = 'requires_action';
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;

-- What happens to what comes while the thread is busy, and how many wait in its line.
ALTER TABLE threads ADD COLUMN on_busy TEXT;
ALTER TABLE threads ADD COLUMN in_line INTEGER NOT NULL DEFAULT 0;

-- The line of a thread: runs with their input, and items that come alone. What steers the active
-- run comes first, then the lowest place.
CREATE TABLE line (
    thread INTEGER NOT NULL,
    place INTEGER NOT NULL,
    run TEXT,
    steers INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (thread, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX line_run ON line (thread, run) WHERE run IS NOT NULL;

CREATE TABLE waiting_items (
    thread INTEGER NOT NULL,
    place INTEGER NOT NULL,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    run TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (thread, place, position),
    UNIQUE (thread, id)
) STRICT, WITHOUT ROWID;
