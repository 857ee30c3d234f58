CREATE TABLE vector_stores (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    last_active_at bigint NOT NULL,
    expires_days bigint,
    expires_at bigint GENERATED ALWAYS AS (last_active_at + expires_days * 86400000) STORED,
    expired boolean NOT NULL DEFAULT false,
    body text NOT NULL,
    in_progress bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    usage_bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project, id)
);
CREATE INDEX vector_stores_created ON vector_stores (project, created_at, id);
CREATE INDEX vector_stores_expiring ON vector_stores (expires_at)
    WHERE expires_at IS NOT NULL AND NOT expired;

-- A row in_progress is a job. `body` names the attempt that indexes, or has indexed, the file: its
-- chunks are stored under that name. Nobody else may take the job before leased_until.
CREATE TABLE vector_store_files (
    project text COLLATE "C" NOT NULL,
    store text COLLATE "C" NOT NULL,
    file text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    batch text COLLATE "C",
    attributes text NOT NULL,
    tokens bigint NOT NULL,
    overlap bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    usage_bytes bigint NOT NULL DEFAULT 0,
    error text,
    body text COLLATE "C",
    leased_until bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project, store, file)
);
CREATE INDEX vector_store_files_created
    ON vector_store_files (project, store, created_at, file);
CREATE INDEX vector_store_files_batch ON vector_store_files (project, store, batch, status)
    WHERE batch IS NOT NULL;
CREATE INDEX vector_store_files_of ON vector_store_files (project, file);
CREATE UNIQUE INDEX vector_store_files_body ON vector_store_files (body);
CREATE INDEX vector_store_files_jobs ON vector_store_files (leased_until, created_at)
    WHERE status = 'in_progress';

CREATE TABLE file_batches (
    project text COLLATE "C" NOT NULL,
    store text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    cancelled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (project, store, id)
);

-- Words are stemmed, and none of them is left out: a query of common words finds something too.
CREATE TEXT SEARCH DICTIONARY clew_stems (TEMPLATE = snowball, LANGUAGE = porter);
CREATE TEXT SEARCH CONFIGURATION clew_words (COPY = pg_catalog.simple);
ALTER TEXT SEARCH CONFIGURATION clew_words ALTER MAPPING REPLACE pg_catalog.simple WITH clew_stems;

-- `words` has the store among them, so that a search reads nothing of another one.
CREATE TABLE chunks (
    body text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    start bigint NOT NULL,
    stop bigint NOT NULL,
    text text NOT NULL,
    words tsvector NOT NULL,
    PRIMARY KEY (body, number)
);
-- A search reads the words of all it finds: they stay in the row, where they fit.
ALTER TABLE chunks ALTER COLUMN words SET STORAGE MAIN;
-- New words wait in a list, which is merged when a file is completed (flush_words).
CREATE INDEX chunks_words ON chunks USING gin (words);

-- Bodies whose chunks nobody can reach, until those are removed.
CREATE TABLE unreachable_chunks (body text COLLATE "C" PRIMARY KEY);
