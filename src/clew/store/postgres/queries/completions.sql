-- name: insert_completion
-- A new completion.
INSERT INTO completions (project, id, created_at, model, metadata, body)
VALUES (%(project)s, %(id)s, %(created_at)s, %(model)s, %(metadata)s::jsonb, %(body)s)

-- name: insert_completion_messages
-- The messages that were asked: an array of their JSON texts, in order.
INSERT INTO completion_messages (project, completion, number, body)
SELECT %(project)s, %(completion)s, number - 1, body
FROM unnest(%(bodies)s::text[]) WITH ORDINALITY AS asked (body, number)

-- name: get_completion
-- A completion of this project.
SELECT id, created_at, model, metadata::text, body FROM completions
WHERE project = %(project)s AND id = %(completion)s

-- name: update_completion
-- Replace the metadata.
UPDATE completions SET metadata = %(metadata)s::jsonb
WHERE project = %(project)s AND id = %(completion)s
RETURNING id, created_at, model, metadata::text, body

-- name: delete_completion
-- The completion is gone.
DELETE FROM completions WHERE project = %(project)s AND id = %(completion)s RETURNING id

-- name: delete_completion_messages
-- Its messages are gone.
DELETE FROM completion_messages WHERE project = %(project)s AND completion = %(completion)s

-- name: find_completion_place
-- Where a cursor stands in the order of completions.
SELECT created_at, id FROM completions WHERE project = %(project)s AND id = %(id)s

-- name: find_completion_answer
-- What was answered to this Idempotency-Key, unless that is outdated.
SELECT fingerprint, answer FROM answers
WHERE thread_id = %(scope)s AND project = %(project)s AND key = %(key)s
  AND created_at >= %(since)s AND answer IS NOT NULL

-- name: completions_up
-- Completions of a project, oldest first, strictly between two places in that order.
SELECT id, created_at, model, metadata::text, body FROM completions
WHERE project = %(project)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s) AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: completions_down
-- Completions of a project, newest first.
SELECT id, created_at, model, metadata::text, body FROM completions
WHERE project = %(project)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s) AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: model_completions_up
-- The same as completions_up for those of one model.
SELECT id, created_at, model, metadata::text, body FROM completions
WHERE project = %(project)s AND model = %(model)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s) AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: model_completions_down
-- The same as completions_down for those of one model.
SELECT id, created_at, model, metadata::text, body FROM completions
WHERE project = %(project)s AND model = %(model)s
  AND (created_at, id) > (%(low_at)s, %(low_key)s) AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: find_completions_up
-- The same as completions_up for those with all of :metadata, and of :model unless it is NULL; the
-- metadata index always leads.
WITH found AS MATERIALIZED (
    SELECT * FROM completions
    WHERE metadata @> %(metadata)s::jsonb AND project IS NOT DISTINCT FROM %(project)s)
SELECT id, created_at, model, metadata::text, body FROM found
WHERE (%(model)s::text IS NULL OR model = %(model)s)
  AND (created_at, id) > (%(low_at)s, %(low_key)s) AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at, id LIMIT %(limit)s

-- name: find_completions_down
-- The same as completions_down for those with all of :metadata, and of :model unless it is NULL; the
-- metadata index always leads.
WITH found AS MATERIALIZED (
    SELECT * FROM completions
    WHERE metadata @> %(metadata)s::jsonb AND project IS NOT DISTINCT FROM %(project)s)
SELECT id, created_at, model, metadata::text, body FROM found
WHERE (%(model)s::text IS NULL OR model = %(model)s)
  AND (created_at, id) > (%(low_at)s, %(low_key)s) AND (created_at, id) < (%(high_at)s, %(high_key)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s

-- name: completion_messages_up
-- Messages of a completion with :low < number < :high, in order.
SELECT number, body FROM completion_messages
WHERE project = %(project)s AND completion = %(completion)s
  AND number > %(low)s AND number < %(high)s
ORDER BY number LIMIT %(limit)s

-- name: completion_messages_down
-- The same, last first.
SELECT number, body FROM completion_messages
WHERE project = %(project)s AND completion = %(completion)s
  AND number > %(low)s AND number < %(high)s
ORDER BY number DESC LIMIT %(limit)s

-- name: count_completion_messages
-- How many messages a completion has.
SELECT coalesce((SELECT max(number) + 1 FROM completion_messages m
                 WHERE m.project = c.project AND m.completion = c.id), 0)
FROM completions c WHERE c.project = %(project)s AND c.id = %(completion)s
