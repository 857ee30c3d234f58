-- name: append_events
-- Keep what is new of any number of turns, but for runs that are not there or whose events were
-- erased, or that somebody else has taken up since. The runs are held until the end, so that an
-- erasure, or somebody else, comes before this or after it.
INSERT INTO events (thread_id, run, turn, first, until, events)
SELECT news.thread_id, news.run, news.turn, news.first, news.until, news.events
FROM unnest(%(threads)s::text[], %(projects)s::text[], %(runs)s::text[], %(turns)s::bigint[],
            %(firsts)s::bigint[], %(untils)s::bigint[], %(events)s::bytea[], %(attempts)s::int[])
     AS news (thread_id, project, run, turn, first, until, events, attempt)
JOIN threads t ON t.thread_id = news.thread_id AND t.project = news.project AND NOT t.erased
JOIN runs r ON r.thread_id = news.thread_id AND r.id = news.run AND NOT r.forgotten
  AND coalesce((r.body::json ->> 'attempts')::int, 1) <= news.attempt
ORDER BY r.thread_id, r.id FOR SHARE OF r
ON CONFLICT (thread_id, run, turn, first) DO UPDATE SET events = excluded.events

-- name: list_events
-- What was kept of a turn from a number on.
SELECT e.first, e.events
FROM threads t JOIN events e ON e.thread_id = t.thread_id
WHERE t.thread_id = %(thread)s AND t.project = %(project)s AND NOT t.erased
  AND e.run = %(run)s AND e.turn = %(turn)s AND e.first >= %(first)s
ORDER BY e.first

-- name: forget_run
-- No more events of this run are kept from now on.
UPDATE runs SET forgotten = true WHERE thread_id = %(thread)s AND id = %(run)s

-- name: delete_run_events
-- All events of a run.
DELETE FROM events WHERE thread_id = %(thread)s AND run = %(run)s

-- name: delete_events
-- All events of a thread.
DELETE FROM events WHERE thread_id = %(thread)s

-- name: delete_old_events
-- Up to so many rows of events whose time is over; those that others delete are left to them.
DELETE FROM events WHERE (thread_id, run, turn, first) IN (
    SELECT thread_id, run, turn, first FROM events WHERE until < %(now)s
    ORDER BY until LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
