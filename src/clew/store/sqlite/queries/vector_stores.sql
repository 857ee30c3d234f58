-- name: insert_vector_store
-- A new store, without files; its number is the last rowid.
INSERT INTO vector_stores (project, key, created_at, last_active_at, expires_days, body)
VALUES (:project, :key, :created_at, :last_active_at, :expires_days, :body)

-- name: get_vector_store
-- A store of this project.
SELECT no, key, created_at, last_active_at, expires_days, expired, body, in_progress, completed,
       failed, cancelled, usage_bytes
FROM vector_stores WHERE project = :project AND key = :store

-- name: vector_stores_up
-- Stores of a project, oldest first, strictly between two places in that order.
SELECT no, key, created_at, last_active_at, expires_days, expired, body, in_progress, completed,
       failed, cancelled, usage_bytes
FROM vector_stores
WHERE project = :project
  AND (created_at, key) > (:low_at, :low_key) AND (created_at, key) < (:high_at, :high_key)
ORDER BY created_at, key LIMIT :limit

-- name: vector_stores_down
-- The same, newest first.
SELECT no, key, created_at, last_active_at, expires_days, expired, body, in_progress, completed,
       failed, cancelled, usage_bytes
FROM vector_stores
WHERE project = :project
  AND (created_at, key) > (:low_at, :low_key) AND (created_at, key) < (:high_at, :high_key)
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: find_vector_store_place
-- Where a cursor stands in the order of stores.
SELECT created_at, key FROM vector_stores WHERE project = :project AND key = :vector_store

-- name: update_vector_store
-- Replace what is said of a store.
UPDATE vector_stores SET expires_days = :expires_days, body = :body WHERE no = :no

-- name: touch_vector_store
-- The store is in use now.
UPDATE vector_stores SET last_active_at = max(last_active_at, :now) WHERE no = :no

-- name: delete_vector_store
-- The store is gone.
DELETE FROM vector_stores WHERE no = :no

-- name: count_store_files
-- Account for `by` more files in a status.
UPDATE vector_stores SET in_progress = in_progress + iif(:status = 'in_progress', :by, 0),
                         completed = completed + iif(:status = 'completed', :by, 0),
                         failed = failed + iif(:status = 'failed', :by, 0),
                         cancelled = cancelled + iif(:status = 'cancelled', :by, 0),
                         usage_bytes = usage_bytes + :bytes
WHERE no = :no

-- name: missing_file
-- The first of these files that the project does not have.
SELECT asked.value FROM json_each(:files) asked
WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.project = :project AND f.key = asked.value
                                          AND (f.expires_at IS NULL OR f.expires_at > :now))
ORDER BY asked.key LIMIT 1

-- name: present_files
-- Those of these files that the store has.
SELECT f.file, f.status FROM json_each(:files) asked
JOIN vector_store_files f ON f.store = :no AND f.file = asked.value
ORDER BY asked.key

-- name: insert_store_files
-- New files of a store, all to be indexed.
INSERT INTO vector_store_files (store, project, file, created_at, batch, attributes, tokens,
                                overlap, status)
SELECT :no, :project, f.value ->> 'file', f.value ->> 'created_at', f.value ->> 'batch',
       f.value ->> 'attributes', f.value ->> 'tokens', f.value ->> 'overlap', 'in_progress'
FROM json_each(:files) f

-- name: get_store_file
-- A file of a store.
SELECT file, created_at, batch, attributes, tokens, overlap, status, usage_bytes, error
FROM vector_store_files WHERE store = :no AND file = :file

-- name: store_files_up
-- Files of a store, first added first, strictly between two places in that order.
SELECT file, created_at, batch, attributes, tokens, overlap, status, usage_bytes, error
FROM vector_store_files
WHERE store = :no
  AND (created_at, file) > (:low_at, :low_key) AND (created_at, file) < (:high_at, :high_key)
  AND (:status IS NULL OR status = :status) AND (:batch IS NULL OR batch = :batch)
ORDER BY created_at, file LIMIT :limit

-- name: store_files_down
-- The same, last added first.
SELECT file, created_at, batch, attributes, tokens, overlap, status, usage_bytes, error
FROM vector_store_files
WHERE store = :no
  AND (created_at, file) > (:low_at, :low_key) AND (created_at, file) < (:high_at, :high_key)
  AND (:status IS NULL OR status = :status) AND (:batch IS NULL OR batch = :batch)
ORDER BY created_at DESC, file DESC LIMIT :limit

-- name: find_store_file_place
-- Where a cursor stands in the order of a store's files.
SELECT created_at, file FROM vector_store_files WHERE store = :no AND file = :store_file

-- name: update_store_file
-- Replace a file's attributes.
UPDATE vector_store_files SET attributes = :attributes WHERE store = :no AND file = :file

-- name: remove_store_file
-- The file is no longer in the store.
DELETE FROM vector_store_files WHERE store = :no AND file = :file
RETURNING store, status, usage_bytes, body

-- name: remove_all_store_files
-- The store has no files.
DELETE FROM vector_store_files WHERE store = :no RETURNING store, status, usage_bytes, body

-- name: remove_file_from_stores
-- The file is in no store.
DELETE FROM vector_store_files WHERE project = :project AND file = :file
RETURNING store, status, usage_bytes, body

-- name: insert_file_batch
-- A new batch.
INSERT INTO file_batches (store, key, created_at) VALUES (:no, :batch, :created_at)

-- name: get_file_batch
-- A batch, and how many of its files are in which status.
SELECT b.created_at, b.cancelled, f.status, count(f.no)
FROM file_batches b LEFT JOIN vector_store_files f ON f.store = b.store AND f.batch = b.key
WHERE b.store = :no AND b.key = :batch GROUP BY f.status

-- name: cancel_file_batch
-- The batch is cancelled.
UPDATE file_batches SET cancelled = 1 WHERE store = :no AND key = :batch

-- name: cancel_batch_files
-- What is in progress of a batch is cancelled, whoever works on it.
UPDATE vector_store_files SET status = 'cancelled', leased_until = 0
WHERE store = :no AND batch = :batch AND status = 'in_progress' RETURNING body

-- name: delete_file_batches
-- The store has no batches.
DELETE FROM file_batches WHERE store = :no

-- name: find_job
-- The file that has waited longest for somebody to index it.
SELECT f.no, f.project, s.key, f.file, f.tokens, f.overlap, f.attempts, f.body
FROM vector_store_files f JOIN vector_stores s ON s.no = f.store
WHERE f.status = 'in_progress' AND f.leased_until <= :now
ORDER BY f.leased_until, f.no LIMIT 1

-- name: take_job
-- It is indexed by the attempt that is named.
UPDATE vector_store_files
SET body = :body, leased_until = :until, attempts = attempts + 1, model = NULL, dimensions = NULL
WHERE no = :no

-- name: hold_job
-- Lease it until then (NULL leaves that), if the attempt is still the one.
UPDATE vector_store_files SET leased_until = coalesce(:until, leased_until)
WHERE body = :body AND status = 'in_progress' RETURNING store

-- name: end_job
-- The attempt came to an end.
UPDATE vector_store_files
SET status = :status, usage_bytes = :bytes, error = :error, leased_until = 0
WHERE body = :body AND status = 'in_progress' RETURNING store

-- name: insert_chunks
-- Chunks of an attempt.
INSERT INTO chunks (body, number, start, stop, store, text)
SELECT :body, c.value ->> 0, c.value ->> 1, c.value ->> 2, :store, c.value ->> 3
FROM json_each(:chunks) c

-- name: index_chunks
-- Make the words of an attempt's chunks from this number on findable.
INSERT INTO chunk_words (rowid, store, text)
SELECT no, store, text FROM chunks WHERE body = :body AND number >= :first

-- name: read_chunks
-- Chunks of a completed file, in order.
SELECT c.number, c.start, c.stop, c.text
FROM vector_store_files f JOIN chunks c ON c.body = f.body
WHERE f.store = :no AND f.file = :file AND f.status = 'completed' AND c.number > :above
ORDER BY c.number LIMIT :limit

-- name: count_matches
-- For each of these full-text queries how many chunks it finds, as far as `most`.
SELECT (SELECT count(*) FROM (SELECT 1 FROM chunk_words
                              WHERE chunk_words MATCH query.value LIMIT :most))
FROM json_each(:queries) query ORDER BY query.key

-- name: file_attributes
-- The attributes of a store's completed files.
SELECT file, attributes FROM vector_store_files WHERE store = :no AND status = 'completed'

-- name: search_chunks
-- Chunks of a store's completed files (of those in `files`, unless it is NULL), likely ones first.
SELECT f.file, (SELECT filename FROM files WHERE project = f.project AND key = f.file),
       f.attributes, c.number, c.text, chunk_score(chunk_words, :weights)
FROM chunk_words
JOIN chunks c ON c.no = chunk_words.rowid
JOIN vector_store_files f ON f.body = c.body
WHERE chunk_words MATCH :query AND f.store = :no AND f.status = 'completed'
  AND (:files IS NULL OR f.file IN (SELECT value FROM json_each(:files)))
ORDER BY chunk_words.rank LIMIT :limit

-- name: insert_unreachable
-- Nobody can reach the chunks of this body.
INSERT OR IGNORE INTO unreachable_chunks (body) VALUES (:body)

-- name: find_unreachable
-- Some body whose chunks nobody can reach.
SELECT body FROM unreachable_chunks LIMIT 1

-- name: unindex_chunks
-- The words of the first chunks of a body are removed from the index.
INSERT INTO chunk_words (chunk_words, rowid, store, text)
SELECT 'delete', no, store, text FROM chunks WHERE body = :body ORDER BY number LIMIT :limit

-- name: delete_chunks
-- The same chunks are gone.
DELETE FROM chunks WHERE no IN
    (SELECT no FROM chunks WHERE body = :body ORDER BY number LIMIT :limit)
RETURNING no

-- name: delete_unreachable
-- The body has no chunks.
DELETE FROM unreachable_chunks WHERE body = :body

-- name: find_expired_store
-- Some store that has expired and still has its files.
SELECT no FROM vector_stores
WHERE expires_at IS NOT NULL AND NOT expired AND expires_at <= :now LIMIT 1

-- name: expire_vector_store
-- The store stays expired.
UPDATE vector_stores SET expired = 1 WHERE no = :no
