-- name: claim_run
-- A run that is due is somebody's.
UPDATE runs SET body = :body, holder = :holder, due_at = :until WHERE thread = :no AND key = :run

-- name: get_due
-- A run of this thread, if it is due.
SELECT metadata, body, 0 FROM runs WHERE thread = :no AND key = :run AND due_at <= :now

-- name: hold_run
-- Hold a lease on; says how the run stands, if it is still held.
UPDATE runs SET due_at = :until
WHERE key = :run AND holder = :holder AND due_at IS NOT NULL AND status <> 'requires_action'
  AND thread = (SELECT no FROM threads WHERE key = :thread)
RETURNING key, status

-- name: list_due
-- Runs that somebody is to look after, those longest due first.
SELECT t.project, t.key, r.key FROM runs r JOIN threads t ON t.no = r.thread
WHERE r.due_at <= :now AND NOT t.erased ORDER BY r.due_at LIMIT :limit

-- name: list_calls
-- The model calls of a run, in the order they began.
SELECT body FROM calls WHERE thread = :no AND run = :run ORDER BY no

-- name: get_holder
-- Whose a run is.
SELECT holder FROM runs WHERE thread = :no AND key = :run
