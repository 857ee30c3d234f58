-- name: grow_blob
-- Account for a piece that is about to be written; no row when the blob is not to grow any more.
INSERT INTO blobs AS b (id, project, written_at, bytes)
VALUES (%(blob)s, %(project)s, %(now)s, %(length)s)
ON CONFLICT (id) DO UPDATE
SET bytes = b.bytes + excluded.bytes, written_at = excluded.written_at
WHERE b.project = excluded.project AND b.upload IS NULL AND b.file IS NULL AND b.written_at > 0
RETURNING bytes

-- name: insert_piece
-- A piece of a blob.
INSERT INTO pieces (blob, start, data) VALUES (%(blob)s, %(start)s, %(data)b)

-- name: loosen_blob
-- A blob that belongs to nothing is to go.
UPDATE blobs SET written_at = 0
WHERE id = %(blob)s AND project = %(project)s AND upload IS NULL AND file IS NULL

-- name: loosen_file
-- The blobs of a file belong to nothing any more and are to go.
UPDATE blobs SET file = NULL, written_at = 0 WHERE project = %(project)s AND file = %(file)s

-- name: loosen_parts
-- The parts of an upload belong to nothing any more and are to go.
UPDATE blobs SET upload = NULL, written_at = 0 WHERE project = %(project)s AND upload = %(upload)s

-- name: loose_blobs
-- Some of the blobs that belong to nothing and were last written to before a time.
SELECT id FROM blobs
WHERE upload IS NULL AND file IS NULL AND written_at <= %(before)s
ORDER BY written_at, id LIMIT %(limit)s

-- name: delete_pieces
-- Some pieces of a blob.
DELETE FROM pieces WHERE blob = %(blob)s AND start IN
    (SELECT start FROM pieces WHERE blob = %(blob)s ORDER BY start LIMIT %(limit)s)
RETURNING start

-- name: delete_blob
-- A blob without pieces that is to go.
DELETE FROM blobs WHERE id = %(blob)s

-- name: find_blob
-- The bytes of a blob that belongs to nothing; nobody else may have it until the end.
SELECT bytes FROM blobs
WHERE id = %(blob)s AND project = %(project)s AND upload IS NULL AND file IS NULL AND written_at > 0
FOR UPDATE

-- name: give_blob_to_file
-- Blobs become the content of a file, each from a place on.
UPDATE blobs b SET file = %(file)s, start = p.start, upload = NULL
FROM unnest(%(blobs)s::text[], %(starts)s::bigint[]) AS p (id, start) WHERE b.id = p.id

-- name: give_blob_to_upload
-- A blob becomes a part of an upload.
UPDATE blobs SET upload = %(upload)s WHERE id = %(blob)s

-- name: find_parts
-- Those of the named parts that an upload has, with their bytes.
SELECT b.id, b.bytes FROM unnest(%(parts)s::text[]) AS p (id) JOIN blobs b ON b.id = p.id
WHERE b.project = %(project)s AND b.upload = %(upload)s

-- name: parts_bytes
-- What the parts of an upload come to.
SELECT coalesce(sum(bytes), 0)::bigint FROM blobs WHERE project = %(project)s AND upload = %(upload)s

-- name: read_file
-- The pieces of a file that reach into a range of it, each with its place in the file.
SELECT b.start + p.start, p.data
FROM blobs b JOIN pieces p ON p.blob = b.id
WHERE b.project = %(project)s AND b.file = %(file)s AND b.start < %(stop)s
  AND b.start >= (SELECT max(start) FROM blobs
                  WHERE project = %(project)s AND file = %(file)s AND start <= %(start)s)
  AND p.start < %(stop)s - b.start AND p.start > %(start)s - b.start - %(piece_max)s
ORDER BY b.start, p.start

-- name: read_part
-- The pieces of a part that reach into a range of it, each with its place.
SELECT p.start, p.data
FROM blobs b JOIN pieces p ON p.blob = b.id
WHERE b.id = %(part)s AND b.project = %(project)s AND b.upload = %(upload)s
  AND p.start < %(stop)s AND p.start > %(start)s - %(piece_max)s
ORDER BY p.start

-- name: insert_file
-- A new file.
INSERT INTO files (project, id, created_at, expires_at, purpose, filename, bytes)
VALUES (%(project)s, %(id)s, %(created_at)s, %(expires_at)s, %(purpose)s, %(filename)s,
        %(bytes)s)

-- name: find_files
-- Those of these files that the project has.
SELECT id FROM files
WHERE project = %(project)s AND id = ANY (%(files)s::text[])
  AND (expires_at IS NULL OR expires_at > %(now)s)

-- name: get_file
-- A file of this project that has not expired.
SELECT id, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = %(project)s AND id = %(file)s AND (expires_at IS NULL OR expires_at > %(now)s)

-- name: delete_file
-- The row of a file; its bytes go after it.
DELETE FROM files
WHERE project = %(project)s AND id = %(file)s AND (expires_at IS NULL OR expires_at > %(now)s)
RETURNING id

-- name: expired_files
-- Some files whose time is over.
SELECT project, id FROM files WHERE expires_at <= %(now)s ORDER BY expires_at LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: files_up
-- Files of a project, oldest first, strictly between two places in that order.
SELECT id, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = %(project)s AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
  AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: files_down
-- The same, newest first.
SELECT id, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = %(project)s AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
  AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: purpose_files_up
-- The same as files_up for those of one purpose.
SELECT id, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = %(project)s AND purpose = %(purpose)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
  AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: purpose_files_down
-- The same, newest first.
SELECT id, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = %(project)s AND purpose = %(purpose)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
  AND (expires_at IS NULL OR expires_at > %(now)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: find_file_place
-- Where a cursor stands in the order of files.
SELECT created_at, id FROM files WHERE project = %(project)s AND id = %(id)s

-- name: insert_upload
-- A new upload.
INSERT INTO uploads (project, id, created_at, expires_at, filename, purpose, bytes, mime_type,
                     file_expires_after_ms, status)
VALUES (%(project)s, %(id)s, %(created_at)s, %(expires_at)s, %(filename)s, %(purpose)s,
        %(bytes)s, %(mime_type)s,
        %(file_expires_after_ms)s, %(status)s)

-- name: get_upload
-- An upload of this project.
SELECT id, created_at, expires_at, filename, purpose, bytes, mime_type, file_expires_after_ms,
       status, file
FROM uploads WHERE project = %(project)s AND id = %(upload)s

-- name: lock_upload
-- The same; nobody else may change it until the end.
SELECT id, created_at, expires_at, filename, purpose, bytes, mime_type, file_expires_after_ms,
       status, file
FROM uploads WHERE project = %(project)s AND id = %(upload)s FOR UPDATE

-- name: end_upload
-- An upload is pending no more.
UPDATE uploads SET status = %(status)s, file = %(file)s
WHERE project = %(project)s AND id = %(upload)s

-- name: upload_of_file
-- The upload that a file came from.
SELECT id FROM uploads WHERE project = %(project)s AND file = %(file)s

-- name: delete_upload
-- The row of an upload.
DELETE FROM uploads WHERE project = %(project)s AND id = %(upload)s

-- name: expired_uploads
-- Some uploads that became no file and whose time is over: those nobody has ended yet, and those
-- that it is time to forget.
SELECT project, id, expires_at <= %(forget)s FROM uploads
WHERE file IS NULL AND expires_at <= %(now)s AND (status = 'pending' OR expires_at <= %(forget)s)
ORDER BY expires_at LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: silence_answers
-- Recorded answers about something that is gone say nothing any more; their keys stay used.
UPDATE answers SET answer = '' WHERE about = %(about)s AND project = %(project)s
