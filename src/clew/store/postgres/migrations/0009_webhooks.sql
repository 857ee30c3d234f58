-- body is the webhook as JSON, its secrets too. A deleted one has none: it is there until its
-- deliveries are swept.
CREATE TABLE webhooks (
    project text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    enabled boolean NOT NULL,
    body text,
    lease text COLLATE "C",
    leased_until bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (project, id)
) WITH (fillfactor = 70);
CREATE INDEX webhooks_created ON webhooks (project, created_at, id);
CREATE INDEX webhooks_leased ON webhooks (leased_until) WHERE enabled;
CREATE INDEX webhooks_deleted ON webhooks (id) WHERE body IS NULL;

-- What enabled webhooks want to be told: every write to a thread looks here, on its own node. Small,
-- and rarely changed: over several nodes, a reference table.
CREATE TABLE webhook_wants (
    project text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    webhook text COLLATE "C" NOT NULL,
    PRIMARY KEY (project, type, webhook)
);

-- The outbox: with the thread, so that a change and what tells of it are written on one node. Whoever
-- delivers reads all of them. dead_at is set on what was given up.
CREATE TABLE deliveries (
    thread_id text COLLATE "C" NOT NULL,
    webhook text COLLATE "C" NOT NULL,
    event text COLLATE "C" NOT NULL,
    no bigint GENERATED ALWAYS AS IDENTITY,
    type text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    data text NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    due_at bigint NOT NULL,
    dead_at bigint,
    error text,
    PRIMARY KEY (thread_id, webhook, event)
);
CREATE INDEX deliveries_due ON deliveries (webhook, due_at, no) WHERE dead_at IS NULL;
CREATE INDEX deliveries_dead ON deliveries (webhook, created_at, event) WHERE dead_at IS NOT NULL;
CREATE INDEX deliveries_died ON deliveries (dead_at) WHERE dead_at IS NOT NULL;

-- The routing rules of a project: all of them, in their order, as JSON.
CREATE TABLE routing (
    project text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    updated_at bigint NOT NULL,
    rules text NOT NULL
);
