-- name: insert_deliveries
-- What happened in a thread, in its order, for each webhook that wants to be told of it.
INSERT INTO deliveries (thread_id, webhook, event, type, created_at, data, due_at)
SELECT %(thread)s, w.webhook, n.event, n.type, %(now)s, n.data, %(now)s
FROM json_to_recordset(%(notices)s::json) AS n (place bigint, event text, type text, data text)
JOIN webhook_wants w ON w.project = %(project)s AND w.type = n.type
ORDER BY n.place

-- name: delete_dead_letters
-- What was given up of a thread cannot be sent again.
DELETE FROM deliveries WHERE thread_id = %(thread)s AND dead_at IS NOT NULL

-- name: insert_webhook
-- A new webhook.
INSERT INTO webhooks (project, id, created_at, enabled, body)
VALUES (%(project)s, %(key)s, %(created_at)s, %(enabled)s, %(body)s)

-- name: get_webhook
-- A webhook of this project.
SELECT body FROM webhooks WHERE project = %(project)s AND id = %(webhook)s AND body IS NOT NULL

-- name: lock_webhook
-- The same; nobody else may change it until the end.
SELECT body FROM webhooks
WHERE project = %(project)s AND id = %(webhook)s AND body IS NOT NULL FOR UPDATE

-- name: update_webhook
-- Other settings, or another fate.
UPDATE webhooks SET enabled = %(enabled)s, body = %(body)s WHERE project = %(project)s
  AND id = %(key)s

-- name: webhooks_up
-- Webhooks of a project, oldest first, strictly between two places in that order.
SELECT body FROM webhooks
WHERE project = %(project)s AND body IS NOT NULL AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: webhooks_down
-- The same, newest first.
SELECT body FROM webhooks
WHERE project = %(project)s AND body IS NOT NULL AND (created_at, id) > (%(low_at)s, %(low_key)s)
  AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: find_webhook_place
-- Where a cursor stands in the order of webhooks.
SELECT created_at, id FROM webhooks
WHERE project = %(project)s AND id = %(id)s AND body IS NOT NULL

-- name: delete_webhook
-- Nothing is left of the webhook but that its deliveries are to be swept.
UPDATE webhooks SET enabled = false, body = NULL
WHERE project = %(project)s AND id = %(webhook)s AND body IS NOT NULL RETURNING id

-- name: insert_wants
-- What a webhook wants to be told of.
INSERT INTO webhook_wants (project, type, webhook)
SELECT %(project)s, type, %(webhook)s FROM unnest(%(types)s::text[]) type ON CONFLICT DO NOTHING

-- name: delete_wants
-- A webhook wants nothing.
DELETE FROM webhook_wants WHERE project = %(project)s AND webhook = %(webhook)s

-- name: dead_letters_up
-- Deliveries of a webhook that were given up, oldest first, between two places in that order.
SELECT event, thread_id, type, created_at, data, attempts, due_at, dead_at, error, no
FROM deliveries
WHERE webhook = %(webhook)s AND dead_at IS NOT NULL
  AND (created_at, event) > (%(low_at)s, %(low_key)s)
  AND (created_at, event) < (%(high_at)s, %(high_key)s)
ORDER BY created_at, event LIMIT %(limit)s

-- name: dead_letters_down
-- The same, newest first.
SELECT event, thread_id, type, created_at, data, attempts, due_at, dead_at, error, no
FROM deliveries
WHERE webhook = %(webhook)s AND dead_at IS NOT NULL
  AND (created_at, event) > (%(low_at)s, %(low_key)s)
  AND (created_at, event) < (%(high_at)s, %(high_key)s)
ORDER BY created_at DESC, event DESC LIMIT %(limit)s

-- name: find_dead_letter_place
-- Where a cursor stands in the order of dead letters.
SELECT created_at, event FROM deliveries
WHERE webhook = %(webhook)s AND dead_at IS NOT NULL AND event = %(id)s

-- name: revive_dead_letters
-- One dead letter, or all, as if never attempted; says how many.
WITH revived AS (
    UPDATE deliveries SET attempts = 0, due_at = %(now)s, dead_at = NULL
    WHERE webhook = %(webhook)s AND dead_at IS NOT NULL
      AND event = coalesce(%(event)s::text, event)
    RETURNING 1)
SELECT count(*) FROM revived

-- name: find_due_webhook
-- The webhook with something due that nobody has, and that has waited longest.
SELECT w.project, w.body FROM webhooks w
WHERE w.enabled AND w.leased_until <= %(now)s
  AND EXISTS (SELECT 1 FROM deliveries d
              WHERE d.webhook = w.id AND d.dead_at IS NULL AND d.due_at <= %(now)s)
ORDER BY w.leased_until LIMIT 1 FOR UPDATE OF w SKIP LOCKED

-- name: lease_webhook
-- Somebody delivers to the webhook.
UPDATE webhooks SET lease = %(lease)s, leased_until = %(until)s WHERE project = %(project)s
  AND id = %(webhook)s

-- name: due_deliveries
-- What is due to a webhook, in the order in which it became so.
SELECT event, thread_id, type, created_at, data, attempts, due_at, dead_at, error, no
FROM deliveries
WHERE webhook = %(webhook)s AND dead_at IS NULL AND due_at <= %(now)s
ORDER BY due_at, no LIMIT %(limit)s

-- name: hold_webhook
-- Lease it for longer, or until now, if it is still ours.
UPDATE webhooks SET leased_until = %(until)s
WHERE project = %(project)s AND id = %(webhook)s AND lease = %(lease)s RETURNING id

-- name: delete_told
-- Deliveries that were told: pairs of thread and event.
DELETE FROM deliveries d USING unnest(%(threads)s::text[], %(events)s::text[]) told (thread, event)
WHERE d.thread_id = told.thread AND d.webhook = %(webhook)s AND d.event = told.event

-- name: update_failed
-- How a delivery stands after an attempt.
UPDATE deliveries SET attempts = %(attempts)s, due_at = %(due_at)s, dead_at = %(dead_at)s,
                      error = %(error)s
WHERE thread_id = %(thread)s AND webhook = %(webhook)s AND event = %(event)s

-- name: find_deleted_webhook
-- A webhook that was deleted and is to be swept.
SELECT project, id FROM webhooks WHERE body IS NULL LIMIT 1

-- name: sweep_webhook
-- Some deliveries of a deleted webhook; says how many.
WITH part AS (
    (SELECT thread_id, webhook, event FROM deliveries
     WHERE webhook = %(webhook)s AND dead_at IS NULL LIMIT %(limit)s)
    UNION ALL
    (SELECT thread_id, webhook, event FROM deliveries
     WHERE webhook = %(webhook)s AND dead_at IS NOT NULL LIMIT %(limit)s)
), gone AS (
    DELETE FROM deliveries d USING part
    WHERE d.thread_id = part.thread_id AND d.webhook = part.webhook AND d.event = part.event
    RETURNING 1)
SELECT count(*) FROM gone

-- name: remove_webhook
-- A deleted webhook is gone altogether.
DELETE FROM webhooks WHERE project = %(project)s AND id = %(webhook)s AND body IS NULL

-- name: sweep_dead_letters
-- Some dead letters nobody may ask for any more; says how many.
WITH gone AS (
    DELETE FROM deliveries WHERE (thread_id, webhook, event) IN (
        SELECT thread_id, webhook, event FROM deliveries
        WHERE dead_at IS NOT NULL AND dead_at < %(before)s
        ORDER BY dead_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    RETURNING 1)
SELECT count(*) FROM gone

-- name: find_old_dead_letter
-- A dead letter nobody may ask for any more.
SELECT event FROM deliveries WHERE dead_at IS NOT NULL AND dead_at < %(before)s ORDER BY dead_at LIMIT 1
