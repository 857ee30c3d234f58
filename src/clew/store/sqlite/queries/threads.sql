-- name: lock_thread
-- What a write must know of the thread it writes to, and whether a webhook wants to be told.
SELECT no, revision, last_seq, active_run, parent, parent_seq, in_line, on_busy,
       EXISTS (SELECT 1 FROM webhook_wants w WHERE w.project = threads.project)
FROM threads WHERE key = ? AND project = ? AND NOT erased

-- name: get_thread
-- The thread as it stands.
SELECT t.key, t.created_at, t.updated_at, t.metadata, t.tool_resources, t.revision, t.last_seq,
       t.active_run, (SELECT p.key FROM threads p WHERE p.no = t.parent), t.parent_seq, t.chain,
       t.on_busy
FROM threads t WHERE t.key = :thread AND t.project = :project AND NOT t.erased

-- name: insert_thread
-- A new thread; its number is the last rowid. Says whether a webhook wants to be told.
INSERT INTO threads (key, project, revision, last_seq, updated_at, active_run, created_at, parent,
                     parent_seq, chain, metadata, tool_resources, on_busy)
VALUES (:key, :project, :revision, :last_seq, :updated_at, NULL, :created_at, :parent,
        :parent_seq, :chain, :metadata, :tool_resources, :on_busy)
RETURNING EXISTS (SELECT 1 FROM webhook_wants w WHERE w.project = :project)

-- name: insert_metadata
-- Make a thread findable by its metadata.
INSERT INTO thread_metadata (project, name, value, thread)
SELECT :project, key, value, :no FROM json_each(:metadata)

-- name: delete_metadata
-- The thread is no longer found by the metadata it has now.
DELETE FROM thread_metadata WHERE (project, name, value, thread) IN
    (SELECT t.project, m.key, m.value, t.no
     FROM threads t, json_each(t.metadata) m WHERE t.no = :no)

-- name: touch_thread
-- Account for a change to the thread's log.
UPDATE threads SET revision = ?, last_seq = ?, updated_at = ?, active_run = ?, in_line = ?
WHERE no = ?

-- name: update_thread
-- Replace what is given, keep what is NULL.
UPDATE threads SET metadata = coalesce(:metadata, metadata),
                   tool_resources = coalesce(:tool_resources, tool_resources),
                   on_busy = coalesce(:on_busy, on_busy),
                   revision = revision + 1, updated_at = :updated_at
WHERE no = :no

-- name: get_tool_resources
-- What a thread's tools may use.
SELECT tool_resources FROM threads WHERE key = :thread AND project = :project AND NOT erased

-- name: set_tool_resources
-- The same as part of a change that is accounted for otherwise.
UPDATE threads SET tool_resources = :tool_resources
WHERE key = :thread AND project = :project AND NOT erased

-- name: threads_up
-- Threads of a project, oldest first, strictly between two places in that order.
SELECT t.key, t.created_at, t.updated_at, t.metadata, t.tool_resources, t.revision, t.last_seq,
       t.active_run, (SELECT p.key FROM threads p WHERE p.no = t.parent), t.parent_seq, t.chain,
       t.on_busy
FROM threads t
WHERE t.project = :project AND NOT t.erased
  AND (t.created_at, t.key) > (:low_at, :low_key) AND (t.created_at, t.key) < (:high_at, :high_key)
  AND t.created_at BETWEEN :created_from AND :created_to
  AND t.updated_at BETWEEN :updated_from AND :updated_to
ORDER BY t.created_at, t.key LIMIT :limit

-- name: threads_down
-- The same, newest first.
SELECT t.key, t.created_at, t.updated_at, t.metadata, t.tool_resources, t.revision, t.last_seq,
       t.active_run, (SELECT p.key FROM threads p WHERE p.no = t.parent), t.parent_seq, t.chain,
       t.on_busy
FROM threads t
WHERE t.project = :project AND NOT t.erased
  AND (t.created_at, t.key) > (:low_at, :low_key) AND (t.created_at, t.key) < (:high_at, :high_key)
  AND t.created_at BETWEEN :created_from AND :created_to
  AND t.updated_at BETWEEN :updated_from AND :updated_to
ORDER BY t.created_at DESC, t.key DESC LIMIT :limit

-- name: find_threads_up
-- The same as threads_up for those with all of :metadata; the index leads by one pair of it.
SELECT t.key, t.created_at, t.updated_at, t.metadata, t.tool_resources, t.revision, t.last_seq,
       t.active_run, (SELECT p.key FROM threads p WHERE p.no = t.parent), t.parent_seq, t.chain,
       t.on_busy
FROM thread_metadata lead JOIN threads t ON t.no = lead.thread
WHERE lead.project = :project AND lead.name = :name AND lead.value = :value AND NOT t.erased
  AND (t.created_at, t.key) > (:low_at, :low_key) AND (t.created_at, t.key) < (:high_at, :high_key)
  AND t.created_at BETWEEN :created_from AND :created_to
  AND t.updated_at BETWEEN :updated_from AND :updated_to
  AND NOT EXISTS (SELECT 1 FROM json_each(:metadata) wanted WHERE NOT EXISTS (
        SELECT 1 FROM thread_metadata m WHERE m.project = :project AND m.name = wanted.key
                                          AND m.value = wanted.value AND m.thread = t.no))
ORDER BY t.created_at, t.key LIMIT :limit

-- name: find_threads_down
-- The same, newest first.
SELECT t.key, t.created_at, t.updated_at, t.metadata, t.tool_resources, t.revision, t.last_seq,
       t.active_run, (SELECT p.key FROM threads p WHERE p.no = t.parent), t.parent_seq, t.chain,
       t.on_busy
FROM thread_metadata lead JOIN threads t ON t.no = lead.thread
WHERE lead.project = :project AND lead.name = :name AND lead.value = :value AND NOT t.erased
  AND (t.created_at, t.key) > (:low_at, :low_key) AND (t.created_at, t.key) < (:high_at, :high_key)
  AND t.created_at BETWEEN :created_from AND :created_to
  AND t.updated_at BETWEEN :updated_from AND :updated_to
  AND NOT EXISTS (SELECT 1 FROM json_each(:metadata) wanted WHERE NOT EXISTS (
        SELECT 1 FROM thread_metadata m WHERE m.project = :project AND m.name = wanted.key
                                          AND m.value = wanted.value AND m.thread = t.no))
ORDER BY t.created_at DESC, t.key DESC LIMIT :limit

-- name: find_thread_place
-- Where a cursor stands in the order of threads.
SELECT created_at, key FROM threads WHERE key = :thread AND project = :project AND NOT erased

-- name: lineage
-- A thread's number, then its ancestors', each with the seq up to which the thread shows its items.
WITH RECURSIVE line (no, parent, parent_seq, shown) AS (
    SELECT no, parent, parent_seq, :everything FROM threads WHERE no = :no
    UNION ALL
    SELECT t.no, t.parent, t.parent_seq, min(line.shown, line.parent_seq)
    FROM line JOIN threads t ON t.no = line.parent)
SELECT no, shown FROM line


-- name: erase_thread_row
-- The thread is unreachable, nothing people wrote is left in its row, and it shows its forks
-- nothing beyond what they share.
UPDATE threads SET erased = 1, metadata = '{}', tool_resources = NULL, active_run = NULL,
                   in_line = 0, last_seq = :shared, parent_seq = min(parent_seq, :shared)
WHERE no = :no

-- name: delete_thread_row
-- The thread is gone.
DELETE FROM threads WHERE no = :no

-- name: shared_until
-- The highest seq of this thread that some fork shares.
SELECT max(parent_seq) FROM threads WHERE parent = :no

-- name: parent_of
-- The parent of a thread, and whether that one is erased.
SELECT p.no, p.erased FROM threads t JOIN threads p ON p.no = t.parent WHERE t.no = :no

-- name: erased_threads
-- Threads whose erasure was begun.
SELECT no FROM threads WHERE erased

-- name: insert_item
-- Append an item at its seq.
INSERT INTO items (thread, seq, id, kind, created_at, run, body) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: items_up
-- Items of one thread with :low < seq < :high, in order; erased ones only if they may shadow.
SELECT id, kind, body, created_at, run, seq FROM items
WHERE thread = :no AND seq > :low AND seq < :high AND (body IS NOT NULL OR :shadows)
ORDER BY seq LIMIT :limit

-- name: items_down
-- The same, newest first.
SELECT id, kind, body, created_at, run, seq FROM items
WHERE thread = :no AND seq > :low AND seq < :high AND (body IS NOT NULL OR :shadows)
ORDER BY seq DESC LIMIT :limit

-- name: find_item
-- Every row with this id: the item, and its shadows in forks.
SELECT thread, id, kind, body, created_at, run, seq FROM items WHERE id = :id


-- name: update_item
-- Give a thread another row at a seq: its own, or one that shadows its ancestor's.
INSERT INTO items (thread, seq, id, kind, created_at, run, body)
VALUES (:no, :seq, :id, :kind, :created_at, :run, :body)
ON CONFLICT (thread, seq) DO UPDATE
SET kind = excluded.kind, created_at = excluded.created_at, run = excluded.run,
    body = excluded.body

-- name: delete_items
-- Delete up to :limit of a thread's own rows above a seq; says of each whether it was an item yet.
DELETE FROM items WHERE no IN
    (SELECT no FROM items WHERE thread = :no AND seq > :above LIMIT :limit)
RETURNING body IS NOT NULL

-- name: insert_run
-- A new run.
INSERT INTO runs (thread, key, status, created_at, metadata, body, holder, due_at)
VALUES (:no, :key, :status, :created_at, :metadata, :body, :holder, :due_at)

-- name: get_run
-- A run of this thread, and its place among those in line; 0 for none.
SELECT r.metadata, r.body,
       (SELECT count(*) FROM line mine JOIN line ahead
           ON ahead.thread = mine.thread AND ahead.place <= mine.place AND ahead.run IS NOT NULL
       WHERE mine.thread = r.thread AND mine.run = r.key)
FROM runs r WHERE r.thread = :no AND r.key = :run

-- name: move_run
-- Another state of the run; its metadata is left alone, its lease too unless it is said or :settled.
UPDATE runs SET status = :status, body = :body, 
                holder = CASE WHEN :settled THEN NULL ELSE coalesce(:holder, holder) END,
                due_at = CASE WHEN :settled THEN :due_at ELSE coalesce(:due_at, due_at) END
WHERE thread = :no AND key = :run

-- name: update_run
-- Other metadata.
UPDATE runs SET metadata = :metadata WHERE thread = :no AND key = :run

-- name: runs_up
-- Runs of a thread, oldest first, strictly between two places in that order.
SELECT r.metadata, r.body,
       (SELECT count(*) FROM line mine JOIN line ahead
           ON ahead.thread = mine.thread AND ahead.place <= mine.place AND ahead.run IS NOT NULL
       WHERE mine.thread = r.thread AND mine.run = r.key)
FROM runs r
WHERE r.thread = :no AND (r.created_at, r.key) > (:low_at, :low_key)
  AND (r.created_at, r.key) < (:high_at, :high_key)
ORDER BY r.created_at, r.key LIMIT :limit

-- name: runs_down
-- The same, newest first.
SELECT r.metadata, r.body,
       (SELECT count(*) FROM line mine JOIN line ahead
           ON ahead.thread = mine.thread AND ahead.place <= mine.place AND ahead.run IS NOT NULL
       WHERE mine.thread = r.thread AND mine.run = r.key)
FROM runs r
WHERE r.thread = :no AND (r.created_at, r.key) > (:low_at, :low_key)
  AND (r.created_at, r.key) < (:high_at, :high_key)
ORDER BY r.created_at DESC, r.key DESC LIMIT :limit

-- name: find_run_place
-- Where a cursor stands in the order of runs.
SELECT created_at, key FROM runs WHERE thread = :no AND key = :run

-- name: delete_runs
-- All runs of a thread.
DELETE FROM runs WHERE thread = :no

-- name: delete_run
-- One run is gone.
DELETE FROM runs WHERE thread = :no AND key = :run

-- name: delete_run_calls
-- The call records of one run.
DELETE FROM calls WHERE thread = :no AND run = :run

-- name: holds_more
-- Whether a thread has other runs, or items of its own outside of a run's.
SELECT EXISTS (SELECT 1 FROM runs WHERE thread = :no AND key <> :run)
    OR EXISTS (SELECT 1 FROM items WHERE thread = :no AND body IS NOT NULL AND seq > :parent_seq
               AND NOT seq BETWEEN :first AND :last)

-- name: insert_call
-- Record a model call, as it begins or as it ends.
INSERT INTO calls (thread, key, run, body) VALUES (:no, :key, :run, :body)
ON CONFLICT (key) DO UPDATE SET body = excluded.body

-- name: delete_calls
-- All call records of a thread.
DELETE FROM calls WHERE thread = :no

-- name: insert_assistant
-- A new assistant.
INSERT INTO assistants (project, key, created_at, settings)
VALUES (:project, :key, :created_at, :settings)

-- name: get_assistant
-- An assistant of this project.
SELECT key, created_at, settings FROM assistants WHERE project = :project AND key = :assistant

-- name: update_assistant
-- Replace the settings.
UPDATE assistants SET settings = :settings WHERE project = :project AND key = :assistant

-- name: delete_assistant
-- The assistant is gone; its runs stay.
DELETE FROM assistants WHERE project = :project AND key = :assistant RETURNING key

-- name: assistants_up
-- Assistants of a project, oldest first, strictly between two places in that order.
SELECT key, created_at, settings FROM assistants
WHERE project = :project AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
ORDER BY created_at, key LIMIT :limit

-- name: assistants_down
-- The same, newest first.
SELECT key, created_at, settings FROM assistants
WHERE project = :project AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: get_answer
-- What was answered to this Idempotency-Key.
SELECT fingerprint, answer FROM answers
WHERE scope = :scope AND project = :project AND key = :key AND created_at >= :since

-- name: insert_answer
-- Record an answer with the change it answers for; an outdated one with the same key gives way.
INSERT OR REPLACE INTO answers (scope, project, key, about, fingerprint, answer, created_at)
VALUES (:scope, :project, :key, :about, :fingerprint, :answer, :created_at)

-- name: delete_old_answers
-- Answers nobody may ask for any more.
DELETE FROM answers WHERE created_at < :since

-- name: delete_answers
-- All answers that speak of a thread.
DELETE FROM answers WHERE about = :thread AND project = :project

-- name: insert_receipt
-- Proof of an erasure.
INSERT INTO receipts (id, project, thread, body) VALUES (:id, :project, :thread, :body)

-- name: find_assistant_place
-- Where a cursor stands in the order of assistants.
SELECT created_at, key FROM assistants WHERE project = :project AND key = :assistant

-- name: shown_by
-- Every living thread that shows items of this one: its forks, their forks, ….
WITH RECURSIVE fork (no, key, shown, erased) AS (
    SELECT no, key, parent_seq, erased FROM threads WHERE parent = :no
    UNION ALL
    SELECT t.no, t.key, min(fork.shown, t.parent_seq), t.erased
    FROM fork JOIN threads t ON t.parent = fork.no)
SELECT key FROM fork WHERE NOT erased AND shown > 0 ORDER BY key

-- name: push_down
-- Keep an item as it is for the direct forks that share it.
INSERT INTO items (thread, seq, id, kind, created_at, run, body)
SELECT no, :seq, :id, :kind, :created_at, :run, :body
FROM threads WHERE parent = :no AND parent_seq >= :seq
ON CONFLICT (thread, seq) DO NOTHING

-- name: erase_unseen
-- Erase what an erased thread still holds, or shows of its ancestors, but no fork shows any more:
-- the seqs at which all forks that reach so far have rows of their own.
INSERT INTO items (thread, seq, id, kind, created_at)
SELECT :no, own.seq, min(own.id), '', 0
FROM threads fork JOIN items own ON own.thread = fork.no
WHERE fork.parent = :no AND own.seq <= fork.parent_seq AND own.seq BETWEEN :low AND :high
GROUP BY own.seq
HAVING count(*) = (SELECT count(*) FROM threads sharing
                   WHERE sharing.parent = :no AND sharing.parent_seq >= own.seq)
ON CONFLICT (thread, seq) DO UPDATE
SET kind = '', created_at = 0, run = NULL, body = NULL

-- name: erase_answers
-- Recorded answers that show an item say nothing any more; their keys stay used.
UPDATE answers SET answer = x''
WHERE about = :thread AND project = :project AND instr(answer, CAST(:item AS BLOB))
