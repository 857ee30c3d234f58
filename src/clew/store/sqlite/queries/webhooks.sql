-- name: insert_deliveries
-- What happened, for each webhook that wants to be told of it.
INSERT INTO deliveries (thread, webhook, event, type, created_at, data, due_at)
SELECT :thread, w.webhook, :event, :type, :now, :data, :now
FROM webhook_wants w WHERE w.project = :project AND w.type = :type

-- name: delete_dead_letters
-- What was given up of a thread cannot be sent again.
DELETE FROM deliveries WHERE thread = :thread AND dead_at IS NOT NULL

-- name: insert_webhook
-- A new webhook.
INSERT INTO webhooks (project, key, created_at, enabled, body)
VALUES (:project, :key, :created_at, :enabled, :body)

-- name: get_webhook
-- A webhook of this project.
SELECT body FROM webhooks WHERE key = :webhook AND project = :project AND body IS NOT NULL

-- name: update_webhook
-- Other settings, or another fate.
UPDATE webhooks SET enabled = :enabled, body = :body WHERE key = :key AND project = :project

-- name: webhooks_up
-- Webhooks of a project, oldest first, strictly between two places in that order.
SELECT body FROM webhooks
WHERE project = :project AND body IS NOT NULL AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
ORDER BY created_at, key LIMIT :limit

-- name: webhooks_down
-- The same, newest first.
SELECT body FROM webhooks
WHERE project = :project AND body IS NOT NULL AND (created_at, key) > (:low_at, :low_key)
  AND (created_at, key) < (:high_at, :high_key)
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: find_webhook_place
-- Where a cursor stands in the order of webhooks.
SELECT created_at, key FROM webhooks
WHERE key = :webhook AND project = :project AND body IS NOT NULL

-- name: delete_webhook
-- Nothing is left of the webhook but that its deliveries are to be swept.
UPDATE webhooks SET enabled = 0, body = NULL
WHERE key = :webhook AND project = :project AND body IS NOT NULL RETURNING key

-- name: insert_wants
-- What a webhook wants to be told of.
INSERT INTO webhook_wants (project, type, webhook)
SELECT :project, value, :webhook FROM json_each(:types) WHERE true ON CONFLICT DO NOTHING

-- name: delete_wants
-- A webhook wants nothing.
DELETE FROM webhook_wants WHERE project = :project AND webhook = :webhook

-- name: dead_letters_up
-- Deliveries of a webhook that were given up, oldest first, between two places in that order.
SELECT event, thread, type, created_at, data, attempts, due_at, dead_at, error, no
FROM deliveries
WHERE webhook = :webhook AND dead_at IS NOT NULL AND (created_at, event) > (:low_at, :low_key)
  AND (created_at, event) < (:high_at, :high_key)
ORDER BY created_at, event LIMIT :limit

-- name: dead_letters_down
-- The same, newest first.
SELECT event, thread, type, created_at, data, attempts, due_at, dead_at, error, no
FROM deliveries
WHERE webhook = :webhook AND dead_at IS NOT NULL AND (created_at, event) > (:low_at, :low_key)
  AND (created_at, event) < (:high_at, :high_key)
ORDER BY created_at DESC, event DESC LIMIT :limit

-- name: find_dead_letter_place
-- Where a cursor stands in the order of dead letters.
SELECT created_at, event FROM deliveries
WHERE webhook = :webhook AND dead_at IS NOT NULL AND event = :dead_letter

-- name: revive_dead_letters
-- One dead letter, or all, as if never attempted.
UPDATE deliveries SET attempts = 0, due_at = :now, dead_at = NULL
WHERE webhook = :webhook AND dead_at IS NOT NULL AND event = coalesce(:event, event)

-- name: find_due_webhook
-- The webhook with something due that nobody has, and that has waited longest.
SELECT w.project, w.body FROM webhooks w
WHERE w.enabled AND w.leased_until <= :now
  AND EXISTS (SELECT 1 FROM deliveries d
              WHERE d.webhook = w.key AND d.dead_at IS NULL AND d.due_at <= :now)
ORDER BY w.leased_until LIMIT 1

-- name: lease_webhook
-- Somebody delivers to the webhook.
UPDATE webhooks SET lease = :lease, leased_until = :until WHERE key = :webhook AND project = :project

-- name: due_deliveries
-- What is due to a webhook, in the order in which it became so.
SELECT event, thread, type, created_at, data, attempts, due_at, dead_at, error, no
FROM deliveries
WHERE webhook = :webhook AND dead_at IS NULL AND due_at <= :now
ORDER BY due_at, no LIMIT :limit

-- name: hold_webhook
-- Lease it for longer, or until now, if it is still ours.
UPDATE webhooks SET leased_until = :until
WHERE key = :webhook AND project = :project AND lease = :lease RETURNING key

-- name: delete_told
-- Deliveries that were told, by their places.
DELETE FROM deliveries WHERE no IN (SELECT value FROM json_each(:told)) AND webhook = :webhook

-- name: update_failed
-- How a delivery stands after an attempt.
UPDATE deliveries SET attempts = :attempts, due_at = :due_at, dead_at = :dead_at, error = :error
WHERE no = :place AND event = :event

-- name: find_deleted_webhook
-- A webhook that was deleted and is to be swept.
SELECT key FROM webhooks WHERE body IS NULL LIMIT 1

-- name: sweep_webhook
-- Some deliveries of a deleted webhook.
DELETE FROM deliveries WHERE no IN
    (SELECT no FROM deliveries WHERE webhook = :webhook AND dead_at IS NULL
     UNION ALL SELECT no FROM deliveries WHERE webhook = :webhook AND dead_at IS NOT NULL
     LIMIT :limit)

-- name: remove_webhook
-- A deleted webhook is gone altogether.
DELETE FROM webhooks WHERE key = :webhook AND body IS NULL

-- name: sweep_dead_letters
-- Some dead letters nobody may ask for any more.
DELETE FROM deliveries WHERE no IN
    (SELECT no FROM deliveries WHERE dead_at IS NOT NULL AND dead_at < :before LIMIT :limit)

-- name: find_old_dead_letter
-- A dead letter nobody may ask for any more.
SELECT event FROM deliveries WHERE dead_at IS NOT NULL AND dead_at < :before ORDER BY dead_at LIMIT 1
