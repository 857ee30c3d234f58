-- Chat completions that are kept, and the messages that were asked. body is JSON text.

CREATE TABLE completions (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    model text COLLATE "C" NOT NULL,
    metadata jsonb NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX completions_created ON completions (project, created_at, id);
CREATE INDEX completions_model ON completions (project, model, created_at, id);
CREATE INDEX completions_metadata ON completions USING gin (metadata jsonb_path_ops);

CREATE TABLE completion_messages (
    project text COLLATE "C" NOT NULL,
    completion text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (project, completion, number)
);
