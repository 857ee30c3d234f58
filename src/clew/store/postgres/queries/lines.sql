-- name: join_line
-- Another entry at the end of a thread's line, or before all others; its place.
INSERT INTO line (thread_id, place, run, steers)
SELECT %(thread)s,
       CASE WHEN %(first)s THEN coalesce(min(place), 0) - 1 ELSE coalesce(max(place), 0) + 1 END,
       %(run)s::text, %(steers)s
FROM line WHERE thread_id = %(thread)s
RETURNING place

-- name: insert_waiting
-- Items that wait at a place of the line.
INSERT INTO waiting_items (thread_id, place, position, created_at, id, kind, run, body)
SELECT %(thread)s, %(place)s, i.position, i.created_at, i.id, i.kind, i.run, i.body
FROM json_to_recordset(%(items)s::json)
         AS i (position bigint, created_at bigint, id text, kind text, run text, body text)

-- name: next_in_line
-- The first entry of a thread's line: its place, its run, and whether it steers the active one.
SELECT place, run, steers FROM line WHERE thread_id = %(thread)s
ORDER BY steers DESC, place LIMIT 1

-- name: leave_line
-- An entry is no longer in line.
DELETE FROM line WHERE thread_id = %(thread)s AND place = %(place)s

-- name: take_waiting
-- The items of an entry are no longer in line.
DELETE FROM waiting_items WHERE thread_id = %(thread)s AND place = %(place)s
RETURNING position, id, kind, body, created_at, run

-- name: find_taken
-- One of these ids that a thread has already, in its log or in its line.
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT asked.id FROM unnest(%(ids)s::text[]) AS asked (id)
WHERE EXISTS (SELECT 1 FROM line JOIN items i ON i.thread_id = line.thread_id AND i.id = asked.id
              WHERE i.seq <= line.shown)
   OR EXISTS (SELECT 1 FROM waiting_items w WHERE w.thread_id = %(thread)s AND w.id = asked.id)
LIMIT 1

-- name: update_waiting
-- Another body for an item that waits.
UPDATE waiting_items SET body = %(body)s WHERE thread_id = %(thread)s AND id = %(id)s

-- name: erase_waiting
-- An item no longer waits.
DELETE FROM waiting_items WHERE thread_id = %(thread)s AND id = %(id)s

-- name: find_run_in_line
-- The place of the entry that a run waits in.
SELECT place FROM line WHERE thread_id = %(thread)s AND run = %(run)s

-- name: drop_run_from_line
-- A run no longer waits; its input does.
UPDATE line SET run = NULL WHERE thread_id = %(thread)s AND run = %(run)s

-- name: delete_line
-- Nothing waits in a thread's line any more.
DELETE FROM line WHERE thread_id = %(thread)s

-- name: delete_waiting
-- The same for the items.
DELETE FROM waiting_items WHERE thread_id = %(thread)s
