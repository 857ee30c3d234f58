-- name: append_events
-- Keep what is new of a turn, unless its run is not there or its events were erased, or somebody
-- else has taken the run up since.
INSERT INTO events (thread, run, turn, first, until, events)
SELECT t.no, r.no, :turn, :first, :until, :events
FROM threads t JOIN runs r ON r.key = :run AND r.thread = t.no
WHERE t.key = :thread AND t.project = :project AND NOT t.erased AND NOT r.forgotten
  AND coalesce(r.body ->> '$.attempts', 1) <= :attempt
ON CONFLICT (thread, run, turn, first) DO UPDATE SET events = excluded.events

-- name: list_events
-- What was kept of a turn from a number on.
SELECT e.first, e.events
FROM threads t JOIN runs r ON r.key = :run AND r.thread = t.no
     JOIN events e ON e.thread = t.no AND e.run = r.no AND e.turn = :turn AND e.first >= :first
WHERE t.key = :thread AND t.project = :project AND NOT t.erased
ORDER BY e.first

-- name: forget_run
-- No more events of this run are kept from now on.
UPDATE runs SET forgotten = 1 WHERE thread = :no AND key = :run

-- name: delete_run_events
-- All events of a run.
DELETE FROM events
WHERE thread = :no AND run = (SELECT no FROM runs WHERE thread = :no AND key = :run)

-- name: delete_events
-- Up to :limit rows of a thread's events.
DELETE FROM events WHERE no IN (SELECT no FROM events WHERE thread = :no LIMIT :limit)

-- name: delete_old_events
-- Up to :limit rows of events whose time is over.
DELETE FROM events WHERE no IN
    (SELECT no FROM events WHERE until < :now ORDER BY until LIMIT :limit)
