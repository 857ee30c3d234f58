-- Item rows are appended to the end of a rowid table; the index on (thread, seq) holds the order.
-- Clustering them by thread would touch a scattered page for each row of a group commit.

CREATE TABLE threads (
    no INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    revision INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    active_run TEXT,
    created_at INTEGER NOT NULL,
    parent INTEGER REFERENCES threads (no),
    parent_seq INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    erased INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL,
    tool_resources TEXT
) STRICT;
CREATE INDEX threads_created ON threads (project, created_at, key);
CREATE INDEX threads_parent ON threads (parent, parent_seq) WHERE parent IS NOT NULL;

CREATE TABLE thread_metadata (
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    thread INTEGER NOT NULL,
    PRIMARY KEY (project, name, value, thread)
) STRICT, WITHOUT ROWID;

-- body is JSON: a string for a plain message, else an object; NULL once erased.
CREATE TABLE items (
    no INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    run TEXT,
    body TEXT
) STRICT;
CREATE UNIQUE INDEX items_seq ON items (thread, seq);
CREATE UNIQUE INDEX items_id ON items (id, thread);

CREATE TABLE runs (
    no INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX runs_created ON runs (thread, created_at, key);

CREATE TABLE calls (
    no INTEGER PRIMARY KEY,
    thread INTEGER NOT NULL,
    key TEXT NOT NULL UNIQUE,
    run TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX calls_run ON calls (thread, run);

-- What was answered to an Idempotency-Key: `scope` is the key of the thread it came for, '' for the
-- project; `about` the key of the thread the answer speaks of.
CREATE TABLE answers (
    scope TEXT NOT NULL,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    about TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, project, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_about ON answers (about);
CREATE INDEX answers_created ON answers (created_at);

CREATE TABLE assistants (
    no INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    settings TEXT NOT NULL,
    UNIQUE (project, key)
) STRICT;
CREATE INDEX assistants_created ON assistants (project, created_at, key);

CREATE TABLE receipts (
    id TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    thread TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
