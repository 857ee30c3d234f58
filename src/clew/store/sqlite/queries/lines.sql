-- name: join_line
-- Another entry at the end of a thread's line, or before all others; its place.
INSERT INTO line (thread, place, run, steers)
SELECT :no, CASE WHEN :first THEN coalesce(min(place), 0) - 1 ELSE coalesce(max(place), 0) + 1 END,
       :run, :steers
FROM line WHERE thread = :no
RETURNING place

-- name: insert_waiting
-- An item that waits at a place of the line.
INSERT INTO waiting_items (thread, place, position, id, kind, created_at, run, body)
VALUES (:no, :place, :position, :id, :kind, :created_at, :run, :body)

-- name: next_in_line
-- The first entry of a thread's line: its place, its run, and whether it steers the active one.
SELECT place, run, steers FROM line WHERE thread = :no ORDER BY steers DESC, place LIMIT 1

-- name: leave_line
-- An entry is no longer in line.
DELETE FROM line WHERE thread = :no AND place = :place

-- name: take_waiting
-- The items of an entry are no longer in line.
DELETE FROM waiting_items WHERE thread = :no AND place = :place
RETURNING position, id, kind, body, created_at, run

-- name: find_waiting
-- An item that waits in a thread's line.
SELECT id, kind, body, created_at, run, 0 FROM waiting_items WHERE thread = :no AND id = :id

-- name: update_waiting
-- Another body for an item that waits.
UPDATE waiting_items SET body = :body WHERE thread = :no AND id = :id

-- name: erase_waiting
-- An item no longer waits.
DELETE FROM waiting_items WHERE thread = :no AND id = :id

-- name: find_run_in_line
-- The place of the entry that a run waits in.
SELECT place FROM line WHERE thread = :no AND run = :run

-- name: drop_run_from_line
-- A run no longer waits; its input does.
UPDATE line SET run = NULL WHERE thread = :no AND run = :run

-- name: delete_line
-- Nothing waits in a thread's line any more.
DELETE FROM line WHERE thread = :no

-- name: delete_waiting
-- The same for the items.
DELETE FROM waiting_items WHERE thread = :no
