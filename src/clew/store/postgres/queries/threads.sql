-- $lineage stands for the statement of that name: the thread, then its ancestors; $message_kinds
-- for the kinds of items that are messages.
--
-- A thread is found by its key; its project is only checked. IS NOT DISTINCT FROM says so to the
-- planner, which would else read all threads of the project while a table is small and never
-- analyzed.

-- name: lineage
-- A thread and its ancestors, each with the seq up to which the thread shows its items.
SELECT 0, thread_id, last_seq, parent, parent_seq FROM threads
WHERE thread_id = %(thread)s AND project IS NOT DISTINCT FROM %(project)s AND NOT erased
UNION ALL
SELECT line.depth + 1, t.thread_id, least(line.shown, line.parent_seq), t.parent, t.parent_seq
FROM line JOIN threads t ON t.thread_id = line.parent

-- name: lock_thread
-- What a write must know of the thread it writes to, and whether a webhook wants to be told; nobody
-- else may write to it until the end.
SELECT revision, last_seq, active_run, parent, parent_seq, in_line, on_busy,
       EXISTS (SELECT 1 FROM webhook_wants w WHERE w.project = threads.project)
FROM threads
WHERE thread_id = %(thread)s AND project IS NOT DISTINCT FROM %(project)s AND NOT erased
FOR UPDATE

-- name: lock_lineage
-- The same for a write that may also clear what only this thread showed of erased ancestors.
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT t.revision, t.last_seq, t.active_run, t.parent, t.parent_seq, t.in_line, t.on_busy,
       EXISTS (SELECT 1 FROM webhook_wants w WHERE w.project = t.project), t.thread_id, t.erased
FROM threads t WHERE t.thread_id IN (SELECT thread_id FROM line)
ORDER BY t.thread_id FOR UPDATE

-- name: get_thread
-- The thread as it stands.
SELECT thread_id, created_at, updated_at, metadata::text, tool_resources, revision, last_seq,
       active_run, parent, parent_seq, chain, on_busy
FROM threads
WHERE thread_id = %(thread)s AND project IS NOT DISTINCT FROM %(project)s AND NOT erased

-- name: insert_thread
-- A new thread, at its first revision. Says whether a webhook wants to be told.
INSERT INTO threads (thread_id, project, revision, last_seq, updated_at, created_at, parent,
                     parent_seq, chain, metadata, tool_resources, on_busy)
VALUES (%(thread)s, %(project)s, 1, %(last_seq)s, %(updated_at)s, %(created_at)s, %(parent)s,
        %(parent_seq)s, %(chain)s, %(metadata)s::jsonb, %(tool_resources)s, %(on_busy)s)
RETURNING EXISTS (SELECT 1 FROM webhook_wants w WHERE w.project = %(project)s)

-- name: touch_thread
-- Account for a change to the thread's log.
UPDATE threads SET revision = %(revision)s, last_seq = %(last_seq)s, updated_at = %(updated_at)s,
                   active_run = %(active_run)s, in_line = %(in_line)s
WHERE thread_id = %(thread)s

-- name: update_thread
-- Replace what is given, keep what is NULL.
UPDATE threads SET metadata = coalesce(%(metadata)s::jsonb, metadata),
                   tool_resources = coalesce(%(tool_resources)s, tool_resources),
                   on_busy = coalesce(%(on_busy)s, on_busy),
                   revision = revision + 1, updated_at = %(updated_at)s
WHERE thread_id = %(thread)s

-- name: get_tool_resources
-- What a thread's tools may use.
SELECT tool_resources FROM threads
WHERE thread_id = %(thread)s AND project IS NOT DISTINCT FROM %(project)s AND NOT erased

-- name: set_tool_resources
-- The same as part of a change that is accounted for otherwise.
UPDATE threads SET tool_resources = %(tool_resources)s
WHERE thread_id = %(thread)s AND project IS NOT DISTINCT FROM %(project)s AND NOT erased

-- name: threads_up
-- Threads of a project, oldest first, strictly between two places in that order.
SELECT thread_id, created_at, updated_at, metadata::text, tool_resources, revision, last_seq,
       active_run, parent, parent_seq, chain, on_busy
FROM threads
WHERE project = %(project)s AND NOT erased
  AND (created_at, thread_id) > (%(low_at)s, %(low_key)s)
  AND (created_at, thread_id) < (%(high_at)s, %(high_key)s)
  AND created_at BETWEEN %(created_from)s AND %(created_to)s
  AND updated_at BETWEEN %(updated_from)s AND %(updated_to)s
ORDER BY created_at, thread_id LIMIT %(limit)s

-- name: threads_down
-- The same, newest first.
SELECT thread_id, created_at, updated_at, metadata::text, tool_resources, revision, last_seq,
       active_run, parent, parent_seq, chain, on_busy
FROM threads
WHERE project = %(project)s AND NOT erased
  AND (created_at, thread_id) > (%(low_at)s, %(low_key)s)
  AND (created_at, thread_id) < (%(high_at)s, %(high_key)s)
  AND created_at BETWEEN %(created_from)s AND %(created_to)s
  AND updated_at BETWEEN %(updated_from)s AND %(updated_to)s
ORDER BY created_at DESC, thread_id DESC LIMIT %(limit)s

-- name: find_threads_up
-- The same as threads_up for those with all of :metadata; the metadata index always leads.
WITH found AS MATERIALIZED (
    SELECT * FROM threads WHERE metadata @> %(metadata)s::jsonb AND project = %(project)s)
SELECT thread_id, created_at, updated_at, metadata::text, tool_resources, revision, last_seq,
       active_run, parent, parent_seq, chain, on_busy
FROM found
WHERE NOT erased
  AND (created_at, thread_id) > (%(low_at)s, %(low_key)s)
  AND (created_at, thread_id) < (%(high_at)s, %(high_key)s)
  AND created_at BETWEEN %(created_from)s AND %(created_to)s
  AND updated_at BETWEEN %(updated_from)s AND %(updated_to)s
ORDER BY created_at, thread_id LIMIT %(limit)s

-- name: find_threads_down
-- The same, newest first.
WITH found AS MATERIALIZED (
    SELECT * FROM threads WHERE metadata @> %(metadata)s::jsonb AND project = %(project)s)
SELECT thread_id, created_at, updated_at, metadata::text, tool_resources, revision, last_seq,
       active_run, parent, parent_seq, chain, on_busy
FROM found
WHERE NOT erased
  AND (created_at, thread_id) > (%(low_at)s, %(low_key)s)
  AND (created_at, thread_id) < (%(high_at)s, %(high_key)s)
  AND created_at BETWEEN %(created_from)s AND %(created_to)s
  AND updated_at BETWEEN %(updated_from)s AND %(updated_to)s
ORDER BY created_at DESC, thread_id DESC LIMIT %(limit)s

-- name: find_thread_place
-- Where a cursor stands in the order of threads.
SELECT created_at, thread_id FROM threads
WHERE thread_id = %(id)s AND project IS NOT DISTINCT FROM %(project)s AND NOT erased

-- name: erase_thread_row
-- The thread is unreachable, nothing people wrote is left in its row, and it shows its forks
-- nothing beyond what they share.
UPDATE threads SET erased = true, metadata = '{}', tool_resources = NULL, active_run = NULL,
                   in_line = 0, last_seq = %(shared)s, parent_seq = least(parent_seq, %(shared)s)
WHERE thread_id = %(thread)s

-- name: delete_thread_row
-- The thread is gone.
DELETE FROM threads WHERE thread_id = %(thread)s

-- name: shared_until
-- The highest seq of this thread that some fork shares.
SELECT max(parent_seq) FROM threads WHERE parent = %(thread)s

-- name: parent_of
-- The parent of a thread, and whether that one is erased.
SELECT p.thread_id, p.erased FROM threads t JOIN threads p ON p.thread_id = t.parent
WHERE t.thread_id = %(thread)s

-- name: shown_by
-- Every living thread that shows items of this one: its forks, their forks, ….
WITH RECURSIVE fork (thread_id, shown, erased) AS (
    SELECT thread_id, parent_seq, erased FROM threads WHERE parent = %(thread)s
    UNION ALL
    SELECT t.thread_id, least(fork.shown, t.parent_seq), t.erased
    FROM fork JOIN threads t ON t.parent = fork.thread_id)
SELECT thread_id FROM fork WHERE NOT erased AND shown > 0 ORDER BY thread_id

-- name: append_items
-- Append for many threads at once, where nothing speaks against it; says which those were. A thread
-- that somebody else has locked is left out, so that nobody waits for another one's thread. The plan
-- is to be the same for a table never analyzed: LATERAL with FOR UPDATE cannot become a join with
-- all the threads there are, and IS NOT DISTINCT FROM keeps the index on projects out of it.
WITH free AS MATERIALIZED (
    SELECT a.* FROM json_to_recordset(%(threads)s::json)
        AS a (thread text, project text, count bigint, requests bigint, now_ms bigint,
              if_revision bigint, items json)
    CROSS JOIN LATERAL (
        SELECT FROM threads t
        WHERE t.thread_id = a.thread AND t.project IS NOT DISTINCT FROM a.project AND NOT t.erased
          AND t.active_run IS NULL AND t.revision = coalesce(a.if_revision, t.revision)
        FOR UPDATE SKIP LOCKED) mine
), grown AS (
    UPDATE threads t SET last_seq = t.last_seq + free.count, revision = t.revision + free.requests,
                         updated_at = free.now_ms
    FROM free WHERE t.thread_id = free.thread
    RETURNING t.thread_id, t.revision, t.last_seq, t.last_seq - free.count AS base, free.items,
              t.project, free.now_ms
), told AS (
    INSERT INTO deliveries (thread_id, webhook, event, type, created_at, data, due_at)
    SELECT grown.thread_id, w.webhook,
           left(encode(sha256(convert_to(grown.thread_id || ' ' || i.id, 'UTF8')), 'hex'), 32),
           w.type, grown.now_ms,
           json_strip_nulls(json_build_object(
               'id', i.id, 'thread_id', 'thread_' || grown.thread_id,
               'seq', grown.base + i.position, 'run_id', 'run_' || i.run)),
           grown.now_ms
    FROM webhook_wants w JOIN grown ON grown.project = w.project
    CROSS JOIN LATERAL json_to_recordset(grown.items)
        AS i (position bigint, id text, kind text, run text)
    WHERE w.type = 'thread.message.created' AND i.kind IN ($message_kinds)
    ORDER BY i.position
), added AS (
    INSERT INTO items (thread_id, seq, created_at, id, kind, run, body)
    SELECT grown.thread_id, grown.base + i.position, i.created_at, i.id, i.kind, i.run, i.body
    FROM grown CROSS JOIN LATERAL json_to_recordset(grown.items)
        AS i (position bigint, created_at bigint, id text, kind text, run text, body text)
)
SELECT thread_id, revision, last_seq FROM grown

-- name: insert_item
-- Append items to one thread, at the seqs after :base.
INSERT INTO items (thread_id, seq, created_at, id, kind, run, body)
SELECT %(thread)s, %(base)s + i.position, i.created_at, i.id, i.kind, i.run, i.body
FROM json_to_recordset(%(items)s::json)
         AS i (position bigint, created_at bigint, id text, kind text, run text, body text)

-- name: items_up
-- Items a thread shows with :low < seq < :high, in order; one row of NULLs if there are none.
-- A row of a nearer thread shadows those of the same seq further up. (OFFSET 0: decide that by an
-- index look-up for each row, never by a join over the whole thread.)
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT i.id, i.kind, i.body, i.created_at, i.run, i.seq
FROM line self LEFT JOIN LATERAL (
    SELECT own.* FROM line CROSS JOIN LATERAL (
        SELECT i.* FROM items i
        WHERE i.thread_id = line.thread_id AND i.seq > %(low)s AND i.seq < %(high)s
          AND i.seq <= line.shown AND i.body IS NOT NULL
          AND (line.depth = 0 OR NOT EXISTS (
                SELECT 1 FROM line nearer
                JOIN items s ON s.thread_id = nearer.thread_id AND s.seq = i.seq
                WHERE nearer.depth < line.depth OFFSET 0))
        ORDER BY i.seq LIMIT %(limit)s) own
    ORDER BY own.seq LIMIT %(limit)s) i ON true
WHERE self.depth = 0 ORDER BY i.seq

-- name: items_down
-- The same, newest first.
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT i.id, i.kind, i.body, i.created_at, i.run, i.seq
FROM line self LEFT JOIN LATERAL (
    SELECT own.* FROM line CROSS JOIN LATERAL (
        SELECT i.* FROM items i
        WHERE i.thread_id = line.thread_id AND i.seq > %(low)s AND i.seq < %(high)s
          AND i.seq <= line.shown AND i.body IS NOT NULL
          AND (line.depth = 0 OR NOT EXISTS (
                SELECT 1 FROM line nearer
                JOIN items s ON s.thread_id = nearer.thread_id AND s.seq = i.seq
                WHERE nearer.depth < line.depth OFFSET 0))
        ORDER BY i.seq DESC LIMIT %(limit)s) own
    ORDER BY own.seq DESC LIMIT %(limit)s) i ON true
WHERE self.depth = 0 ORDER BY i.seq DESC

-- name: find_items_up
-- The same as items_up for some kinds, or of one run.
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT i.id, i.kind, i.body, i.created_at, i.run, i.seq
FROM line self LEFT JOIN LATERAL (
    SELECT own.* FROM line CROSS JOIN LATERAL (
        SELECT i.* FROM items i
        WHERE i.thread_id = line.thread_id AND i.seq > %(low)s AND i.seq < %(high)s
          AND i.seq <= line.shown AND i.body IS NOT NULL
          AND (%(kinds)s::text[] IS NULL OR i.kind = ANY (%(kinds)s::text[]))
          AND (%(run)s::text IS NULL OR i.run = %(run)s::text)
          AND (line.depth = 0 OR NOT EXISTS (
                SELECT 1 FROM line nearer
                JOIN items s ON s.thread_id = nearer.thread_id AND s.seq = i.seq
                WHERE nearer.depth < line.depth OFFSET 0))
        ORDER BY i.seq LIMIT %(limit)s) own
    ORDER BY own.seq LIMIT %(limit)s) i ON true
WHERE self.depth = 0 ORDER BY i.seq

-- name: find_items_down
-- The same, newest first.
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT i.id, i.kind, i.body, i.created_at, i.run, i.seq
FROM line self LEFT JOIN LATERAL (
    SELECT own.* FROM line CROSS JOIN LATERAL (
        SELECT i.* FROM items i
        WHERE i.thread_id = line.thread_id AND i.seq > %(low)s AND i.seq < %(high)s
          AND i.seq <= line.shown AND i.body IS NOT NULL
          AND (%(kinds)s::text[] IS NULL OR i.kind = ANY (%(kinds)s::text[]))
          AND (%(run)s::text IS NULL OR i.run = %(run)s::text)
          AND (line.depth = 0 OR NOT EXISTS (
                SELECT 1 FROM line nearer
                JOIN items s ON s.thread_id = nearer.thread_id AND s.seq = i.seq
                WHERE nearer.depth < line.depth OFFSET 0))
        ORDER BY i.seq DESC LIMIT %(limit)s) own
    ORDER BY own.seq DESC LIMIT %(limit)s) i ON true
WHERE self.depth = 0 ORDER BY i.seq DESC

-- name: find_item
-- What a thread has under an id: the nearest row, which may be erased, or with the seq 0 an item
-- that waits in its line; NULLs if there is none.
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT i.id, i.kind, i.body, i.created_at, i.run, i.seq
FROM line self LEFT JOIN LATERAL (
    SELECT line.depth, i.id, i.kind, i.body, i.created_at, i.run, i.seq
    FROM line JOIN items i ON i.thread_id = line.thread_id AND i.id = %(id)s
    WHERE i.seq <= line.shown
    UNION ALL
    SELECT 0, w.id, w.kind, w.body, w.created_at, w.run, 0 FROM waiting_items w
    WHERE w.thread_id = self.thread_id AND w.id = %(id)s
    ORDER BY depth LIMIT 1) i ON true
WHERE self.depth = 0

-- name: push_down
-- Keep an item as it is for the direct forks that share it.
INSERT INTO items (thread_id, seq, created_at, id, kind, run, body)
SELECT t.thread_id, %(seq)s, %(created_at)s, %(id)s, %(kind)s, %(run)s, %(body)s
FROM threads t WHERE t.parent = %(thread)s AND t.parent_seq >= %(seq)s
ON CONFLICT (thread_id, seq) DO NOTHING

-- name: update_item
-- Give a thread another row at a seq: its own, or one that shadows its ancestor's.
INSERT INTO items (thread_id, seq, created_at, id, kind, run, body)
VALUES (%(thread)s, %(seq)s, %(created_at)s, %(id)s, %(kind)s, %(run)s, %(body)s)
ON CONFLICT (thread_id, seq) DO UPDATE
SET created_at = excluded.created_at, kind = excluded.kind, run = excluded.run,
    body = excluded.body

-- name: change_items
-- Give items of a thread's own other bodies, but for those that are erased; forks that share them
-- keep what they show.
WITH changed AS MATERIALIZED (
    SELECT i.*, c.body AS after
    FROM json_to_recordset(%(items)s::json) AS c (id text, body text)
    CROSS JOIN LATERAL (
        SELECT i.* FROM items i
        WHERE i.thread_id = %(thread)s AND i.id = c.id AND i.body IS NOT NULL) i
), kept AS (
    INSERT INTO items (thread_id, seq, created_at, id, kind, run, body)
    SELECT t.thread_id, c.seq, c.created_at, c.id, c.kind, c.run, c.body
    FROM changed c JOIN threads t ON t.parent = c.thread_id AND t.parent_seq >= c.seq
    ON CONFLICT (thread_id, seq) DO NOTHING
)
UPDATE items i SET body = changed.after
FROM changed WHERE i.thread_id = changed.thread_id AND i.seq = changed.seq

-- name: erase_unseen
-- Erase what an erased thread still holds, or shows of its ancestors, but no fork shows any more:
-- the seqs at which all forks that reach so far have rows of their own.
INSERT INTO items (thread_id, seq, created_at, id, kind)
SELECT %(thread)s, own.seq, 0, min(own.id), ''
FROM threads fork JOIN items own ON own.thread_id = fork.thread_id
WHERE fork.parent = %(thread)s AND own.seq <= fork.parent_seq
  AND own.seq BETWEEN %(low)s AND %(high)s
GROUP BY own.seq
HAVING count(*) = (SELECT count(*) FROM threads sharing
                   WHERE sharing.parent = %(thread)s AND sharing.parent_seq >= own.seq)
ON CONFLICT (thread_id, seq) DO UPDATE
SET created_at = 0, kind = '', run = NULL, body = NULL

-- name: delete_items
-- Delete a thread's own rows above a seq; says how many were not erased before.
WITH gone AS (DELETE FROM items WHERE thread_id = %(thread)s AND seq > %(above)s RETURNING body)
SELECT count(body) FROM gone

-- name: insert_run
-- A new run.
INSERT INTO runs (thread_id, id, created_at, status, metadata, body, holder, due_at)
VALUES (%(thread)s, %(id)s, %(created_at)s, %(status)s, %(metadata)s, %(body)s, %(holder)s,
        %(due_at)s)

-- name: get_run
-- A run of this thread, its place among those in line (0 for none), and whose it is; NULLs if the
-- thread has no such run.
SELECT r.metadata, r.body,
       (SELECT count(*) FROM line mine JOIN line ahead
            ON ahead.thread_id = mine.thread_id AND ahead.place <= mine.place
               AND ahead.run IS NOT NULL
        WHERE mine.thread_id = r.thread_id AND mine.run = r.id),
       r.holder
FROM threads t LEFT JOIN runs r ON r.thread_id = t.thread_id AND r.id = %(run)s
WHERE t.thread_id = %(thread)s AND t.project IS NOT DISTINCT FROM %(project)s AND NOT t.erased

-- name: move_run
-- Another state of the run; its metadata is left alone, its lease too unless it is said or :settled.
UPDATE runs SET status = %(status)s, body = %(body)s,
                holder = CASE WHEN %(settled)s THEN NULL
                              ELSE coalesce(%(holder)s::text, holder) END,
                due_at = CASE WHEN %(settled)s THEN %(due_at)s::bigint
                              ELSE coalesce(%(due_at)s::bigint, due_at) END
WHERE thread_id = %(thread)s AND id = %(id)s

-- name: update_run
-- Other metadata.
UPDATE runs SET metadata = %(metadata)s WHERE thread_id = %(thread)s AND id = %(id)s

-- name: runs_up
-- Runs of a thread, oldest first, strictly between two places in that order; one row of NULLs if
-- there are none.
SELECT r.metadata, r.body,
       (SELECT count(*) FROM line mine JOIN line ahead
            ON ahead.thread_id = mine.thread_id AND ahead.place <= mine.place
               AND ahead.run IS NOT NULL
        WHERE mine.thread_id = r.thread_id AND mine.run = r.id)
FROM threads t LEFT JOIN LATERAL (
    SELECT * FROM runs r
    WHERE r.thread_id = t.thread_id AND (r.created_at, r.id) > (%(low_at)s, %(low_key)s)
      AND (r.created_at, r.id) < (%(high_at)s, %(high_key)s)
    ORDER BY r.created_at, r.id LIMIT %(limit)s) r ON true
WHERE t.thread_id = %(thread)s AND t.project IS NOT DISTINCT FROM %(project)s AND NOT t.erased
ORDER BY r.created_at, r.id

-- name: runs_down
-- The same, newest first.
SELECT r.metadata, r.body,
       (SELECT count(*) FROM line mine JOIN line ahead
            ON ahead.thread_id = mine.thread_id AND ahead.place <= mine.place
               AND ahead.run IS NOT NULL
        WHERE mine.thread_id = r.thread_id AND mine.run = r.id)
FROM threads t LEFT JOIN LATERAL (
    SELECT * FROM runs r
    WHERE r.thread_id = t.thread_id AND (r.created_at, r.id) > (%(low_at)s, %(low_key)s)
      AND (r.created_at, r.id) < (%(high_at)s, %(high_key)s)
    ORDER BY r.created_at DESC, r.id DESC LIMIT %(limit)s) r ON true
WHERE t.thread_id = %(thread)s AND t.project IS NOT DISTINCT FROM %(project)s AND NOT t.erased
ORDER BY r.created_at DESC, r.id DESC

-- name: find_run_place
-- Where a cursor stands in the order of runs; NULLs if the thread has no such run.
SELECT r.created_at, r.id
FROM threads t LEFT JOIN runs r ON r.thread_id = t.thread_id AND r.id = %(id)s
WHERE t.thread_id = %(thread)s AND t.project IS NOT DISTINCT FROM %(project)s AND NOT t.erased

-- name: delete_runs
-- All runs of a thread; says how many.
WITH gone AS (DELETE FROM runs WHERE thread_id = %(thread)s RETURNING 1)
SELECT count(*) FROM gone

-- name: delete_run
-- One run is gone.
DELETE FROM runs WHERE thread_id = %(thread)s AND id = %(run)s

-- name: delete_run_calls
-- The call records of one run.
DELETE FROM calls WHERE thread_id = %(thread)s AND run = %(run)s

-- name: holds_more
-- Whether a thread has other runs, or items of its own outside of a run's.
SELECT EXISTS (SELECT 1 FROM runs WHERE thread_id = %(thread)s AND id <> %(run)s)
    OR EXISTS (SELECT 1 FROM items WHERE thread_id = %(thread)s AND body IS NOT NULL
               AND seq > %(parent_seq)s AND NOT seq BETWEEN %(first)s AND %(last)s)

-- name: insert_call
-- Record model calls, as they begin or as they end.
INSERT INTO calls (thread_id, id, run, body)
SELECT %(thread)s, c.id, c.run, c.body
FROM unnest(%(ids)s::text[], %(runs)s::text[], %(bodies)s::text[]) WITH ORDINALITY
    AS c (id, run, body, number)
ORDER BY c.number
ON CONFLICT (thread_id, id) DO UPDATE SET body = excluded.body

-- name: delete_calls
-- All call records of a thread.
DELETE FROM calls WHERE thread_id = %(thread)s

-- name: insert_assistant
-- A new assistant.
INSERT INTO assistants (project, id, created_at, settings)
VALUES (%(project)s, %(id)s, %(created_at)s, %(settings)s)

-- name: get_assistant
-- An assistant of this project.
SELECT id, created_at, settings FROM assistants
WHERE project = %(project)s AND id = %(assistant)s

-- name: lock_assistant
-- The same; nobody else may change it until the end.
SELECT id, created_at, settings FROM assistants
WHERE project = %(project)s AND id = %(assistant)s FOR UPDATE

-- name: update_assistant
-- Replace the settings.
UPDATE assistants SET settings = %(settings)s
WHERE project = %(project)s AND id = %(assistant)s

-- name: delete_assistant
-- The assistant is gone; its runs stay.
DELETE FROM assistants WHERE project = %(project)s AND id = %(assistant)s RETURNING id

-- name: assistants_up
-- Assistants of a project, oldest first, strictly between two places in that order.
SELECT id, created_at, settings FROM assistants
WHERE project = %(project)s AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: assistants_down
-- The same, newest first.
SELECT id, created_at, settings FROM assistants
WHERE project = %(project)s AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: find_assistant_place
-- Where a cursor stands in the order of assistants.
SELECT created_at, id FROM assistants WHERE project = %(project)s AND id = %(id)s

-- name: get_answer
-- What was answered to this Idempotency-Key.
SELECT fingerprint, answer FROM answers
WHERE thread_id = %(scope)s AND project = %(project)s AND key = %(key)s

-- name: insert_answer
-- Claim an Idempotency-Key (the answer is NULL), then record the answer. Gives no row when the key
-- has an answer that is not outdated. Waits for whoever has claimed it: the key is a database
-- constraint.
INSERT INTO answers (thread_id, project, key, about, fingerprint, answer, created_at)
VALUES (%(scope)s, %(project)s, %(key)s, %(about)s, %(fingerprint)s, %(answer)s, %(created_at)s)
ON CONFLICT (thread_id, project, key) DO UPDATE
SET about = excluded.about, fingerprint = excluded.fingerprint, answer = excluded.answer,
    created_at = excluded.created_at
WHERE answers.answer IS NULL OR answers.created_at < %(since)s
RETURNING key

-- name: delete_old_answers
-- Some of the answers nobody may ask for any more; those in use by others are left to them.
DELETE FROM answers WHERE (thread_id, project, key) IN (
    SELECT thread_id, project, key FROM answers WHERE created_at < %(since)s
    ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)

-- name: delete_answers
-- All answers that speak of a thread, whoever they were for.
DELETE FROM answers WHERE about = %(thread)s AND project = %(project)s

-- name: insert_receipt
-- Proof of an erasure.
INSERT INTO receipts (thread_id, id, project, body)
VALUES (%(thread)s, %(id)s, %(project)s, %(body)s)

-- name: erase_answers
-- Recorded answers that show an item say nothing any more; their keys stay used.
UPDATE answers SET answer = ''
WHERE about = %(thread)s AND project = %(project)s
  AND position(convert_to(%(item)s, 'UTF8') IN answer) > 0
