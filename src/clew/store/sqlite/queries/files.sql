-- name: grow_blob
-- Account for a piece that is about to be written; no row when the blob is not to grow any more.
INSERT INTO blobs AS b (key, project, written_at, bytes)
VALUES (:blob, :project, :now, :length)
ON CONFLICT (key) DO UPDATE
SET bytes = b.bytes + excluded.bytes, written_at = excluded.written_at
WHERE b.project = excluded.project AND b.upload IS NULL AND b.file IS NULL AND b.written_at > 0
RETURNING bytes

-- name: insert_piece
-- A piece of a blob.
INSERT INTO pieces (blob, start, data) VALUES (:blob, :start, :data)

-- name: loosen_blob
-- A blob that belongs to nothing is to go.
UPDATE blobs SET written_at = 0
WHERE key = :blob AND project = :project AND upload IS NULL AND file IS NULL

-- name: loosen_file
-- The blobs of a file belong to nothing any more and are to go.
UPDATE blobs SET file = NULL, written_at = 0 WHERE project = :project AND file = :file

-- name: loosen_parts
-- The parts of an upload belong to nothing any more and are to go.
UPDATE blobs SET upload = NULL, written_at = 0 WHERE project = :project AND upload = :upload

-- name: loose_blobs
-- Some of the blobs that belong to nothing and were last written to before a time.
SELECT key FROM blobs
WHERE upload IS NULL AND file IS NULL AND written_at <= :before
ORDER BY written_at, key LIMIT :limit

-- name: delete_pieces
-- Some pieces of a blob.
DELETE FROM pieces WHERE no IN (SELECT no FROM pieces WHERE blob = :blob LIMIT :limit)
RETURNING no

-- name: delete_blob
-- A blob without pieces that is to go.
DELETE FROM blobs WHERE key = :blob

-- name: find_blob
-- The bytes of a blob that belongs to nothing.
SELECT bytes FROM blobs
WHERE key = :blob AND project = :project AND upload IS NULL AND file IS NULL AND written_at > 0

-- name: give_blob_to_file
-- A blob becomes content of a file, from a place on.
UPDATE blobs SET file = :file, start = :start, upload = NULL WHERE key = :blob

-- name: give_blob_to_upload
-- A blob becomes a part of an upload.
UPDATE blobs SET upload = :upload WHERE key = :blob

-- name: find_parts
-- Those of the named parts that an upload has, with their bytes.
SELECT b.key, b.bytes FROM json_each(:parts) p JOIN blobs b ON b.key = p.value
WHERE b.project = :project AND b.upload = :upload

-- name: parts_bytes
-- What the parts of an upload come to.
SELECT coalesce(sum(bytes), 0) FROM blobs WHERE project = :project AND upload = :upload

-- name: read_file
-- The pieces of a file that reach into a range of it, each with its place in the file.
SELECT b.start + p.start, p.data
FROM blobs b JOIN pieces p ON p.blob = b.key
WHERE b.project = :project AND b.file = :file AND b.start < :stop
  AND b.start >= (SELECT max(start) FROM blobs
                  WHERE project = :project AND file = :file AND start <= :start)
  AND p.start < :stop - b.start AND p.start > :start - b.start - :piece_max
ORDER BY b.start, p.start

-- name: read_part
-- The pieces of a part that reach into a range of it, each with its place.
SELECT p.start, p.data
FROM blobs b JOIN pieces p ON p.blob = b.key
WHERE b.key = :part AND b.project = :project AND b.upload = :upload
  AND p.start < :stop AND p.start > :start - :piece_max
ORDER BY p.start

-- name: insert_file
-- A new file.
INSERT INTO files (project, key, created_at, expires_at, purpose, filename, bytes)
VALUES (:project, :key, :created_at, :expires_at, :purpose, :filename, :bytes)

-- name: find_files
-- Those of these files that the project has.
SELECT f.key FROM json_each(:files) asked
JOIN files f ON f.project = :project AND f.key = asked.value
WHERE f.expires_at IS NULL OR f.expires_at > :now

-- name: get_file
-- A file of this project that has not expired.
SELECT key, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = :project AND key = :file AND (expires_at IS NULL OR expires_at > :now)

-- name: delete_file
-- The row of a file; its bytes go after it.
DELETE FROM files
WHERE project = :project AND key = :file AND (expires_at IS NULL OR expires_at > :now)
RETURNING key

-- name: expired_files
-- Some files whose time is over.
SELECT project, key FROM files WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit

-- name: files_up
-- Files of a project, oldest first, strictly between two places in that order.
SELECT key, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = :project AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY created_at, key LIMIT :limit

-- name: files_down
-- The same, newest first.
SELECT key, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = :project AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: purpose_files_up
-- The same as files_up for those of one purpose.
SELECT key, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = :project AND purpose = :purpose
  AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY created_at, key LIMIT :limit

-- name: purpose_files_down
-- The same, newest first.
SELECT key, created_at, filename, purpose, bytes, expires_at FROM files
WHERE project = :project AND purpose = :purpose
  AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
  AND (expires_at IS NULL OR expires_at > :now)
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: find_file_place
-- Where a cursor stands in the order of files.
SELECT created_at, key FROM files WHERE project = :project AND key = :file

-- name: insert_upload
-- A new upload.
INSERT INTO uploads (project, key, created_at, expires_at, filename, purpose, bytes, mime_type,
                     file_expires_after_ms, status)
VALUES (:project, :key, :created_at, :expires_at, :filename, :purpose, :bytes, :mime_type,
        :file_expires_after_ms, :status)

-- name: get_upload
-- An upload of this project.
SELECT key, created_at, expires_at, filename, purpose, bytes, mime_type, file_expires_after_ms,
       status, file
FROM uploads WHERE project = :project AND key = :upload

-- name: end_upload
-- An upload is pending no more.
UPDATE uploads SET status = :status, file = :file WHERE project = :project AND key = :upload

-- name: upload_of_file
-- The upload that a file came from.
SELECT key FROM uploads WHERE project = :project AND file = :file

-- name: delete_upload
-- The row of an upload.
DELETE FROM uploads WHERE project = :project AND key = :upload

-- name: expired_uploads
-- Some uploads that became no file and whose time is over: those nobody has ended yet, and those
-- that it is time to forget.
SELECT project, key, expires_at <= :forget FROM uploads
WHERE file IS NULL AND expires_at <= :now AND (status = 'pending' OR expires_at <= :forget)
ORDER BY expires_at LIMIT :limit

-- name: silence_answers
-- Recorded answers about something that is gone say nothing any more; their keys stay used.
UPDATE answers SET answer = x'' WHERE about = :about AND project = :project
