CREATE TABLE files (
    no INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    purpose TEXT NOT NULL,
    filename TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (project, key)
) STRICT;
CREATE INDEX files_created ON files (project, created_at, key);
CREATE INDEX files_purpose ON files (project, purpose, created_at, key);
CREATE INDEX files_expiring ON files (expires_at) WHERE expires_at IS NOT NULL;

-- file is the key of the file it became.
CREATE TABLE uploads (
    no INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    filename TEXT NOT NULL,
    purpose TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    mime_type TEXT NOT NULL,
    file_expires_after_ms INTEGER,
    status TEXT NOT NULL,
    file TEXT,
    UNIQUE (project, key)
) STRICT;
CREATE INDEX uploads_file ON uploads (project, file) WHERE file IS NOT NULL;
CREATE INDEX uploads_unfinished ON uploads (expires_at) WHERE file IS NULL;

-- A blob is in the file at `start`, or a part of the upload, or belongs to nothing: then it goes
-- when it was last written to long ago. written_at is 0 when it is to go at once.
CREATE TABLE blobs (
    no INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    upload TEXT,
    file TEXT,
    start INTEGER
) STRICT;
CREATE INDEX blobs_upload ON blobs (project, upload) WHERE upload IS NOT NULL;
CREATE INDEX blobs_file ON blobs (project, file, start) WHERE file IS NOT NULL;
CREATE INDEX blobs_loose ON blobs (written_at, key) WHERE upload IS NULL AND file IS NULL;

CREATE TABLE pieces (
    no INTEGER PRIMARY KEY,
    blob TEXT NOT NULL,
    start INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX pieces_start ON pieces (blob, start);
