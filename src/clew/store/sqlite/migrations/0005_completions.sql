-- Chat completions that are kept, and the messages that were asked.

CREATE TABLE completions (
    no INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    model TEXT NOT NULL,
    metadata TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (project, key)
) STRICT;
CREATE INDEX completions_created ON completions (project, created_at, key);
CREATE INDEX completions_model ON completions (project, model, created_at, key);

CREATE TABLE completion_metadata (
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    completion INTEGER NOT NULL,
    PRIMARY KEY (project, name, value, completion)
) STRICT, WITHOUT ROWID;

CREATE TABLE completion_messages (
    completion INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (completion, number)
) STRICT;
