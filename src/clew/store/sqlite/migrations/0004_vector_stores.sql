CREATE TABLE vector_stores (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL,
    expires_days INTEGER,
    expires_at INTEGER AS (last_active_at + expires_days * 86400000) VIRTUAL,
    expired INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL,
    in_progress INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    usage_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (project, key)
) STRICT;
CREATE INDEX vector_stores_created ON vector_stores (project, created_at, key);
CREATE INDEX vector_stores_expiring ON vector_stores (expires_at)
    WHERE expires_at IS NOT NULL AND NOT expired;

-- A row in_progress is a job. `body` names the attempt that indexes, or has indexed, the file: its
-- chunks are stored under that name. Nobody else may take the job before leased_until.
CREATE TABLE vector_store_files (
    no INTEGER PRIMARY KEY,
    store INTEGER NOT NULL,
    project TEXT NOT NULL,
    file TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    batch TEXT,
    attributes TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    overlap INTEGER NOT NULL,
    status TEXT NOT NULL,
    usage_bytes INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    body TEXT,
    leased_until INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX vector_store_files_file ON vector_store_files (store, file);
CREATE INDEX vector_store_files_created ON vector_store_files (store, created_at, file);
CREATE INDEX vector_store_files_batch ON vector_store_files (store, batch, status)
    WHERE batch IS NOT NULL;
CREATE INDEX vector_store_files_of ON vector_store_files (project, file);
CREATE UNIQUE INDEX vector_store_files_body ON vector_store_files (body) WHERE body IS NOT NULL;
CREATE INDEX vector_store_files_jobs ON vector_store_files (leased_until, no)
    WHERE status = 'in_progress';

CREATE TABLE file_batches (
    no INTEGER PRIMARY KEY,
    store INTEGER NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    UNIQUE (store, key)
) STRICT;

-- `store` is there for the index alone: the number of the store as a word.
CREATE TABLE chunks (
    no INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    number INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    store TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX chunks_number ON chunks (body, number);

-- An index without a copy of the text, from which deleted words are removed at once, not marked.
CREATE VIRTUAL TABLE chunk_words USING fts5 (
    store, text, content = 'chunks', content_rowid = 'no',
    tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO chunk_words (chunk_words, rank) VALUES ('secure-delete', 1);

-- Bodies whose chunks nobody can reach, until those are removed.
CREATE TABLE unreachable_chunks (body TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
