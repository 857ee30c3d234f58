-- Every key of a thread-scoped table begins with thread_id, so that one thread lives on one node.
-- Keys are compared byte by byte ("C"): the order of threads is the same whatever the locale.

CREATE TABLE threads (
    thread_id text COLLATE "C" PRIMARY KEY,
    project text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    last_seq bigint NOT NULL,
    updated_at bigint NOT NULL,
    active_run text COLLATE "C",
    created_at bigint NOT NULL,
    parent text COLLATE "C",
    parent_seq bigint NOT NULL,
    chain boolean NOT NULL,
    erased boolean NOT NULL DEFAULT false,
    metadata jsonb NOT NULL,
    tool_resources text
) WITH (fillfactor = 70);  -- an append rewrites the row: leave room for it on the same page
CREATE INDEX threads_created ON threads (project, created_at, thread_id);
CREATE INDEX threads_metadata ON threads USING gin (metadata jsonb_path_ops);
CREATE INDEX threads_parent ON threads (parent, parent_seq) WHERE parent IS NOT NULL;

-- body is JSON text (jsonb refuses \u0000): a string for a plain message, else an object; NULL
-- once erased.
CREATE TABLE items (
    thread_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    created_at bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    run text COLLATE "C",
    body text,
    PRIMARY KEY (thread_id, seq)
);
CREATE UNIQUE INDEX items_id ON items (thread_id, id);

CREATE TABLE runs (
    thread_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    status text NOT NULL,
    metadata text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (thread_id, id)
) WITH (fillfactor = 70);
CREATE INDEX runs_created ON runs (thread_id, created_at, id);

CREATE TABLE calls (
    thread_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (thread_id, id)
);

-- What was answered to an Idempotency-Key that came for a thread; thread_id is '' where it came for
-- the whole project. about is the thread the answer speaks of, if any. answer is NULL only inside
-- the transaction that is finding it.
CREATE TABLE answers (
    thread_id text COLLATE "C" NOT NULL,
    project text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    about text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    answer bytea,
    created_at bigint NOT NULL,
    PRIMARY KEY (thread_id, project, key)
);
CREATE INDEX answers_about ON answers (about);
CREATE INDEX answers_created ON answers (created_at);

CREATE TABLE assistants (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    settings text NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX assistants_created ON assistants (project, created_at, id);

CREATE TABLE receipts (
    thread_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    project text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (thread_id, id)
);
