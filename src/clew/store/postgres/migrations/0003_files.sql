CREATE TABLE files (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    purpose text COLLATE "C" NOT NULL,
    filename text NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX files_created ON files (project, created_at, id);
CREATE INDEX files_purpose ON files (project, purpose, created_at, id);
CREATE INDEX files_expiring ON files (expires_at) WHERE expires_at IS NOT NULL;

-- file is the id of the file it became.
CREATE TABLE uploads (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    filename text NOT NULL,
    purpose text NOT NULL,
    bytes bigint NOT NULL,
    mime_type text NOT NULL,
    file_expires_after_ms bigint,
    status text NOT NULL,
    file text COLLATE "C",
    PRIMARY KEY (project, id)
);
CREATE INDEX uploads_file ON uploads (project, file) WHERE file IS NOT NULL;
CREATE INDEX uploads_unfinished ON uploads (expires_at) WHERE file IS NULL;

-- A blob is in the file at `start`, or a part of the upload, or belongs to nothing: then it goes
-- when it was last written to long ago. written_at is 0 when it is to go at once.
CREATE TABLE blobs (
    id text COLLATE "C" PRIMARY KEY,
    project text COLLATE "C" NOT NULL,
    written_at bigint NOT NULL,
    bytes bigint NOT NULL,
    upload text COLLATE "C",
    file text COLLATE "C",
    start bigint
) WITH (fillfactor = 70);  -- each piece rewrites the row
CREATE INDEX blobs_upload ON blobs (project, upload) WHERE upload IS NOT NULL;
CREATE INDEX blobs_file ON blobs (project, file, start) WHERE file IS NOT NULL;
CREATE INDEX blobs_loose ON blobs (written_at, id) WHERE upload IS NULL AND file IS NULL;

CREATE TABLE pieces (
    blob text COLLATE "C" NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (blob, start)
);
ALTER TABLE pieces ALTER COLUMN data SET STORAGE EXTERNAL;  -- no time lost on compressing it
