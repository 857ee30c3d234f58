-- name: insert_vector_store
-- A new store, without files.
INSERT INTO vector_stores (project, id, created_at, last_active_at, expires_days, body)
VALUES (%(project)s, %(store)s, %(created_at)s, %(last_active_at)s, %(expires_days)s, %(body)s)

-- name: get_vector_store
-- A store of this project.
SELECT id, created_at, last_active_at, expires_days, expired, body, in_progress, completed,
       failed, cancelled, usage_bytes
FROM vector_stores WHERE project = %(project)s AND id = %(store)s

-- name: lock_vector_store
-- The same, for whoever is about to change it or its files.
SELECT id, created_at, last_active_at, expires_days, expired, body, in_progress, completed,
       failed, cancelled, usage_bytes
FROM vector_stores WHERE project = %(project)s AND id = %(store)s FOR UPDATE

-- name: vector_stores_up
-- Stores of a project, oldest first, strictly between two places in that order.
SELECT id, created_at, last_active_at, expires_days, expired, body, in_progress, completed,
       failed, cancelled, usage_bytes
FROM vector_stores
WHERE project = %(project)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: vector_stores_down
-- The same, newest first.
SELECT id, created_at, last_active_at, expires_days, expired, body, in_progress, completed,
       failed, cancelled, usage_bytes
FROM vector_stores
WHERE project = %(project)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: find_vector_store_place
-- Where a cursor stands in the order of stores.
SELECT created_at, id FROM vector_stores WHERE project = %(project)s AND id = %(id)s

-- name: update_vector_store
-- Replace what is said of a store.
UPDATE vector_stores SET expires_days = %(expires_days)s, body = %(body)s
WHERE project = %(project)s AND id = %(store)s

-- name: touch_vector_store
-- The store is in use now.
UPDATE vector_stores SET last_active_at = greatest(last_active_at, %(now)s)
WHERE project = %(project)s AND id = %(store)s

-- name: delete_vector_store
-- The store is gone.
DELETE FROM vector_stores WHERE project = %(project)s AND id = %(store)s

-- name: count_store_files
-- Account for `by` more files in a status.
UPDATE vector_stores
SET in_progress = in_progress + CASE %(status)s::text WHEN 'in_progress' THEN %(by)s ELSE 0 END,
    completed = completed + CASE %(status)s::text WHEN 'completed' THEN %(by)s ELSE 0 END,
    failed = failed + CASE %(status)s::text WHEN 'failed' THEN %(by)s ELSE 0 END,
    cancelled = cancelled + CASE %(status)s::text WHEN 'cancelled' THEN %(by)s ELSE 0 END,
    usage_bytes = usage_bytes + %(bytes)s
WHERE project = %(project)s AND id = %(store)s

-- name: missing_file
-- The first of these files that the project does not have. Those it has stay until the end.
WITH there AS MATERIALIZED (
    SELECT id FROM files
    WHERE project = %(project)s AND id = ANY (%(files)s::text[])
      AND (expires_at IS NULL OR expires_at > %(now)s)
    ORDER BY id FOR SHARE)
SELECT asked.file FROM unnest(%(files)s::text[]) WITH ORDINALITY AS asked (file, number)
WHERE asked.file NOT IN (SELECT id FROM there)
ORDER BY asked.number LIMIT 1

-- name: present_files
-- Those of these files that the store has.
SELECT f.file, f.status
FROM unnest(%(files)s::text[]) WITH ORDINALITY AS asked (file, number)
JOIN vector_store_files f
  ON f.project = %(project)s AND f.store = %(store)s AND f.file = asked.file
ORDER BY asked.number

-- name: insert_store_files
-- New files of a store, all to be indexed.
INSERT INTO vector_store_files (project, store, file, created_at, batch, attributes, tokens,
                                overlap, status)
SELECT %(project)s, %(store)s, f.file, f.created_at, f.batch, f.attributes, f.tokens, f.overlap,
       'in_progress'
FROM json_to_recordset(%(files)s::json)
    AS f (file text, created_at bigint, batch text, attributes text, tokens bigint, overlap bigint)

-- name: get_store_file
-- A file of a store.
SELECT file, created_at, batch, attributes, tokens, overlap, status, usage_bytes, error
FROM vector_store_files
WHERE project = %(project)s AND store = %(store)s AND file = %(file)s

-- name: store_files_up
-- Files of a store, first added first, strictly between two places in that order.
SELECT file, created_at, batch, attributes, tokens, overlap, status, usage_bytes, error
FROM vector_store_files
WHERE project = %(project)s AND store = %(store)s
  AND (created_at, file) > (%(low_at)s, %(low_key)s)
  AND (created_at, file) < (%(high_at)s, %(high_key)s)
  AND (%(status)s::text IS NULL OR status = %(status)s::text)
  AND (%(batch)s::text IS NULL OR batch = %(batch)s::text)
ORDER BY created_at, file LIMIT %(limit)s

-- name: store_files_down
-- The same, last added first.
SELECT file, created_at, batch, attributes, tokens, overlap, status, usage_bytes, error
FROM vector_store_files
WHERE project = %(project)s AND store = %(store)s
  AND (created_at, file) > (%(low_at)s, %(low_key)s)
  AND (created_at, file) < (%(high_at)s, %(high_key)s)
  AND (%(status)s::text IS NULL OR status = %(status)s::text)
  AND (%(batch)s::text IS NULL OR batch = %(batch)s::text)
ORDER BY created_at DESC, file DESC LIMIT %(limit)s

-- name: find_store_file_place
-- Where a cursor stands in the order of a store's files.
SELECT created_at, file FROM vector_store_files
WHERE project = %(project)s AND store = %(store)s AND file = %(id)s

-- name: update_store_file
-- Replace a file's attributes.
UPDATE vector_store_files SET attributes = %(attributes)s
WHERE project = %(project)s AND store = %(store)s AND file = %(file)s

-- name: remove_store_file
-- The file is no longer in the store.
DELETE FROM vector_store_files
WHERE project = %(project)s AND store = %(store)s AND file = %(file)s
RETURNING store, status, usage_bytes, body

-- name: remove_all_store_files
-- The store has no files.
DELETE FROM vector_store_files WHERE project = %(project)s AND store = %(store)s
RETURNING store, status, usage_bytes, body

-- name: remove_file_from_stores
-- The file is in no store.
DELETE FROM vector_store_files WHERE project = %(project)s AND file = %(file)s
RETURNING store, status, usage_bytes, body

-- name: insert_file_batch
-- A new batch.
INSERT INTO file_batches (project, store, id, created_at)
VALUES (%(project)s, %(store)s, %(batch)s, %(created_at)s)

-- name: get_file_batch
-- A batch, and how many of its files are in which status.
SELECT b.created_at, b.cancelled, f.status, count(f.file)
FROM file_batches b
LEFT JOIN vector_store_files f
  ON f.project = b.project AND f.store = b.store AND f.batch = b.id
WHERE b.project = %(project)s AND b.store = %(store)s AND b.id = %(batch)s
GROUP BY b.created_at, b.cancelled, f.status

-- name: cancel_file_batch
-- The batch is cancelled.
UPDATE file_batches SET cancelled = true
WHERE project = %(project)s AND store = %(store)s AND id = %(batch)s

-- name: cancel_batch_files
-- What is in progress of a batch is cancelled, whoever works on it.
UPDATE vector_store_files SET status = 'cancelled', leased_until = 0
WHERE project = %(project)s AND store = %(store)s AND batch = %(batch)s
  AND status = 'in_progress'
RETURNING body

-- name: delete_file_batches
-- The store has no batches.
DELETE FROM file_batches WHERE project = %(project)s AND store = %(store)s

-- name: find_job
-- The file that has waited longest for somebody to index it; nobody else is given it meanwhile.
SELECT project, store, file, tokens, overlap, attempts, body
FROM vector_store_files
WHERE status = 'in_progress' AND leased_until <= %(now)s
ORDER BY leased_until, created_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: take_job
-- It is indexed by the attempt that is named.
UPDATE vector_store_files
SET body = %(body)s, leased_until = %(until)s, attempts = attempts + 1, model = NULL,
    dimensions = NULL
WHERE project = %(project)s AND store = %(store)s AND file = %(file)s

-- name: hold_job
-- Lease it until then (NULL leaves that), if the attempt is still the one.
UPDATE vector_store_files SET leased_until = coalesce(%(until)s::bigint, leased_until)
WHERE body = %(body)s AND status = 'in_progress' RETURNING store

-- name: end_job
-- The attempt came to an end.
UPDATE vector_store_files
SET status = %(status)s, usage_bytes = %(bytes)s, error = %(error)s, leased_until = 0
WHERE body = %(body)s AND status = 'in_progress' RETURNING store

-- name: insert_chunks
-- Chunks of an attempt, with their words and that of the store.
INSERT INTO chunks (body, number, start, stop, text, words)
SELECT %(body)s, c.number, c.start, c.stop, c.text,
       to_tsvector('clew_words', c.words) || array_to_tsvector(ARRAY[%(here)s])
FROM unnest(%(numbers)s::bigint[], %(starts)s::bigint[], %(stops)s::bigint[], %(texts)s::text[],
            %(words)s::text[]) AS c (number, start, stop, text, words)

-- name: flush_words
-- Merge new words into the index: a search reads those that wait one after the other.
SELECT gin_clean_pending_list('chunks_words')

-- name: read_chunks
-- Chunks of a completed file, in order.
SELECT c.number, c.start, c.stop, c.text
FROM vector_store_files f JOIN chunks c ON c.body = f.body
WHERE f.project = %(project)s AND f.store = %(store)s AND f.file = %(file)s
  AND f.status = 'completed' AND c.number > %(above)s
ORDER BY c.number LIMIT %(limit)s

-- name: count_matches
-- For each of these words how many chunks of the store have it, as far as `most`.
SELECT (SELECT count(*) FROM (
            SELECT 1 FROM chunks
            WHERE words @@ (%(here)s::tsquery && to_tsquery('clew_words', asked.word))
            LIMIT %(most)s) matched)
FROM unnest(%(words)s::text[]) WITH ORDINALITY AS asked (word, number) ORDER BY asked.number

-- name: file_attributes
-- The attributes of a store's completed files.
SELECT file, attributes FROM vector_store_files
WHERE project = %(project)s AND store = %(store)s AND status = 'completed'

-- name: search_chunks
-- Chunks of a store's completed files (of those in `files`, unless it is NULL), best first.
-- IS TRUE keeps the planner from joining the files first, which it prefers in a table that was never
-- analyzed: that takes ten times as long.
WITH asked AS MATERIALIZED (
    SELECT to_tsquery('clew_words', word) AS query, weight
    FROM unnest(%(words)s::text[], %(weights)s::float8[]) AS asked (word, weight)),
reachable AS MATERIALIZED (
    SELECT body FROM vector_store_files
    WHERE project = %(project)s AND store = %(store)s AND status = 'completed'
      AND (%(files)s::text[] IS NULL OR file = ANY (%(files)s::text[]))),
scored AS MATERIALIZED (
    SELECT c.body, c.number,
           (SELECT sum(weight * ts_rank('{1,1,1,1}', c.words, query)) / sum(weight)
            FROM asked) AS score
    FROM chunks c
    WHERE c.words @@ (%(here)s::tsquery && to_tsquery('clew_words', %(any)s))
      AND (c.body IN (SELECT body FROM reachable)) IS TRUE
    ORDER BY score DESC FETCH FIRST %(limit)s ROWS WITH TIES)
SELECT b.file, (SELECT filename FROM files WHERE project = %(project)s AND id = b.file),
       b.attributes, b.number, c.text, b.score
FROM (SELECT s.*, f.file, f.attributes FROM scored s JOIN vector_store_files f ON f.body = s.body
      ORDER BY s.score DESC, f.file, s.number LIMIT %(limit)s) b
JOIN chunks c ON c.body = b.body AND c.number = b.number
ORDER BY b.score DESC, b.file, b.number

-- name: insert_unreachable
-- Nobody can reach the chunks of this body.
INSERT INTO unreachable_chunks (body) VALUES (%(body)s) ON CONFLICT (body) DO NOTHING

-- name: find_unreachable
-- Some body whose chunks nobody can reach, and nobody else removes meanwhile.
SELECT body FROM unreachable_chunks LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: delete_chunks
-- The first chunks of a body are gone.
DELETE FROM chunks WHERE body = %(body)s AND number IN
    (SELECT number FROM chunks WHERE body = %(body)s ORDER BY number LIMIT %(limit)s)
RETURNING number

-- name: delete_unreachable
-- The body has no chunks.
DELETE FROM unreachable_chunks WHERE body = %(body)s

-- name: find_expired_store
-- Some store that has expired and still has its files.
SELECT project, id FROM vector_stores
WHERE expires_at IS NOT NULL AND NOT expired AND expires_at <= %(now)s
LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: expire_vector_store
-- The store stays expired.
UPDATE vector_stores SET expired = true WHERE project = %(project)s AND id = %(store)s
