-- body is the webhook as JSON, its secrets too. A deleted one has none: it is there until its
-- deliveries are swept.
CREATE TABLE webhooks (
    no INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    enabled INTEGER NOT NULL,
    body TEXT,
    lease TEXT,
    leased_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX webhooks_created ON webhooks (project, created_at, key);
CREATE INDEX webhooks_leased ON webhooks (leased_until) WHERE enabled;
CREATE INDEX webhooks_deleted ON webhooks (key) WHERE body IS NULL;

-- What enabled webhooks want to be told: every write to a thread looks here.
CREATE TABLE webhook_wants (
    project TEXT NOT NULL,
    type TEXT NOT NULL,
    webhook TEXT NOT NULL,
    PRIMARY KEY (project, type, webhook)
) STRICT, WITHOUT ROWID;

-- The outbox. dead_at is set on what was given up.
CREATE TABLE deliveries (
    no INTEGER PRIMARY KEY,
    thread TEXT NOT NULL,
    webhook TEXT NOT NULL,
    event TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    data TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    dead_at INTEGER,
    error TEXT
) STRICT;
CREATE INDEX deliveries_due ON deliveries (webhook, due_at, no) WHERE dead_at IS NULL;
CREATE INDEX deliveries_of_thread ON deliveries (thread) WHERE dead_at IS NOT NULL;
CREATE INDEX deliveries_dead ON deliveries (webhook, created_at, event) WHERE dead_at IS NOT NULL;
CREATE INDEX deliveries_died ON deliveries (dead_at) WHERE dead_at IS NOT NULL;

-- The routing rules of a project: all of them, in their order, as JSON.
CREATE TABLE routing (
    project TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    rules TEXT NOT NULL
) STRICT, WITHOUT ROWID;
