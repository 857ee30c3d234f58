-- Who works on a run, and when somebody else is to look after it: NULL for never.
ALTER TABLE runs ADD COLUMN holder text COLLATE "C";
ALTER TABLE runs ADD COLUMN due_at bigint;
UPDATE runs SET due_at = 0 WHERE status IN ('queued', 'in_progress', 'cancelling');
-- (By its text: -> refuses a body with \u0000 anywhere in it. The last of that name is the run's own.)
UPDATE runs SET due_at = nullif(substring(body FROM '^.*"expires_at":(\d+)')::bigint, 0)
WHERE status = 'requires_action';
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;

-- Calls in the order in which they began.
ALTER TABLE calls ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
CREATE INDEX calls_run ON calls (thread_id, run, number);

-- What happens to what comes while the thread is busy, and how many wait in its line.
ALTER TABLE threads ADD COLUMN on_busy text;
ALTER TABLE threads ADD COLUMN in_line bigint NOT NULL DEFAULT 0;

-- The line of a thread: runs with their input, and items that come alone. What steers the active
-- run comes first, then the lowest place.
CREATE TABLE line (
    thread_id text COLLATE "C" NOT NULL,
    place bigint NOT NULL,
    run text COLLATE "C",
    steers boolean NOT NULL,
    PRIMARY KEY (thread_id, place)
);
CREATE INDEX line_run ON line (thread_id, run) WHERE run IS NOT NULL;

CREATE TABLE waiting_items (
    thread_id text COLLATE "C" NOT NULL,
    place bigint NOT NULL,
    position bigint NOT NULL,
    created_at bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    run text COLLATE "C",
    body text NOT NULL,
    PRIMARY KEY (thread_id, place, position)
);
CREATE UNIQUE INDEX waiting_items_id ON waiting_items (thread_id, id);
