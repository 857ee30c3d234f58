-- name: claim_run
-- A run that is due is somebody's.
UPDATE runs SET body = %(body)s, holder = %(holder)s, due_at = %(until)s
WHERE thread_id = %(thread)s AND id = %(run)s

-- name: get_due
-- A run of this thread, if it is due.
SELECT metadata, body, 0 FROM runs
WHERE thread_id = %(thread)s AND id = %(run)s AND due_at <= %(now)s

-- name: hold_run
-- Hold leases on; says how those runs stand that are still held. (LATERAL, so that each is looked
-- up by its key, in the order given.)
WITH held AS MATERIALIZED (
    SELECT asked.thread_id, asked.run
    FROM unnest(%(threads)s::text[], %(runs)s::text[]) AS asked (thread_id, run)
    CROSS JOIN LATERAL (
        SELECT FROM runs r
        WHERE r.thread_id = asked.thread_id AND r.id = asked.run AND r.holder = %(holder)s
          AND r.due_at IS NOT NULL AND r.status <> 'requires_action'
        FOR UPDATE) mine)
UPDATE runs r SET due_at = %(until)s
FROM held WHERE r.thread_id = held.thread_id AND r.id = held.run
RETURNING r.id, r.status

-- name: list_due
-- Runs that somebody is to look after, those longest due first.
WITH due AS MATERIALIZED (
    SELECT thread_id, id, due_at FROM runs WHERE due_at <= %(now)s
    ORDER BY due_at LIMIT %(limit)s)
SELECT t.project, t.thread_id, due.id FROM due JOIN threads t ON t.thread_id = due.thread_id
WHERE NOT t.erased ORDER BY due.due_at

-- name: list_calls
-- The model calls of a run, in the order they began; a row of NULLs if the thread has no such run.
SELECT r.id, c.body
FROM threads t LEFT JOIN runs r ON r.thread_id = t.thread_id AND r.id = %(run)s
     LEFT JOIN calls c ON c.thread_id = r.thread_id AND c.run = r.id
WHERE t.thread_id = %(thread)s AND t.project IS NOT DISTINCT FROM %(project)s AND NOT t.erased
ORDER BY c.number
