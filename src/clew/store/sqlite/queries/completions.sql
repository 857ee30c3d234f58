-- name: insert_completion
-- A new completion; its number is the last rowid.
INSERT INTO completions (project, key, created_at, model, metadata, body)
VALUES (:project, :key, :created_at, :model, :metadata, :body)

-- name: insert_completion_metadata
-- Make a completion findable by its metadata.
INSERT INTO completion_metadata (project, name, value, completion)
SELECT :project, key, value, :no FROM json_each(:metadata)

-- name: delete_completion_metadata
-- The completion is no longer found by the metadata it has now.
DELETE FROM completion_metadata WHERE (project, name, value, completion) IN
    (SELECT c.project, m.key, m.value, c.no
     FROM completions c, json_each(c.metadata) m WHERE c.no = :no)

-- name: insert_completion_messages
-- One of the messages that were asked.
INSERT INTO completion_messages (completion, number, body) VALUES (?, ?, ?)

-- name: find_completion_number
-- The number of a completion of this project.
SELECT no FROM completions WHERE project = :project AND key = :completion

-- name: get_completion
-- A completion of this project.
SELECT c.key, c.created_at, c.model, c.metadata, c.body FROM completions c
WHERE c.project = :project AND c.key = :completion

-- name: update_completion
-- Replace the metadata.
UPDATE completions SET metadata = :metadata WHERE project = :project AND key = :completion
RETURNING key, created_at, model, metadata, body

-- name: delete_completion
-- The completion is gone.
DELETE FROM completions WHERE project = :project AND key = :completion RETURNING no

-- name: delete_completion_messages
-- Its messages are gone.
DELETE FROM completion_messages WHERE completion = :no

-- name: find_completion_place
-- Where a cursor stands in the order of completions.
SELECT created_at, key FROM completions WHERE project = :project AND key = :completion

-- name: completions_up
-- Completions of a project, oldest first, strictly between two places in that order.
SELECT c.key, c.created_at, c.model, c.metadata, c.body FROM completions c
WHERE c.project = :project
  AND (c.created_at, c.key) > (:low_at, :low_key) AND (c.created_at, c.key) < (:high_at, :high_key)
ORDER BY c.created_at, c.key LIMIT :limit

-- name: completions_down
-- Completions of a project, newest first.
SELECT c.key, c.created_at, c.model, c.metadata, c.body FROM completions c
WHERE c.project = :project
  AND (c.created_at, c.key) > (:low_at, :low_key) AND (c.created_at, c.key) < (:high_at, :high_key)
ORDER BY c.created_at DESC, c.key DESC LIMIT :limit

-- name: model_completions_up
-- The same as completions_up for those of one model.
SELECT c.key, c.created_at, c.model, c.metadata, c.body
FROM completions c INDEXED BY completions_model
WHERE c.project = :project AND c.model = :model
  AND (c.created_at, c.key) > (:low_at, :low_key) AND (c.created_at, c.key) < (:high_at, :high_key)
ORDER BY c.created_at, c.key LIMIT :limit

-- name: model_completions_down
-- The same as completions_down for those of one model.
SELECT c.key, c.created_at, c.model, c.metadata, c.body
FROM completions c INDEXED BY completions_model
WHERE c.project = :project AND c.model = :model
  AND (c.created_at, c.key) > (:low_at, :low_key) AND (c.created_at, c.key) < (:high_at, :high_key)
ORDER BY c.created_at DESC, c.key DESC LIMIT :limit

-- name: find_completions_up
-- The same as completions_up for those with all of :metadata, and of :model unless it is NULL; the
-- index leads by one pair of the metadata.
SELECT c.key, c.created_at, c.model, c.metadata, c.body
FROM completion_metadata lead JOIN completions c ON c.no = lead.completion
WHERE lead.project = :project AND lead.name = :name AND lead.value = :value
  AND (:model IS NULL OR c.model = :model)
  AND (c.created_at, c.key) > (:low_at, :low_key) AND (c.created_at, c.key) < (:high_at, :high_key)
  AND NOT EXISTS (SELECT 1 FROM json_each(:metadata) wanted WHERE NOT EXISTS (
        SELECT 1 FROM completion_metadata m WHERE m.project = :project AND m.name = wanted.key
                                              AND m.value = wanted.value AND m.completion = c.no))
ORDER BY c.created_at, c.key LIMIT :limit

-- name: find_completions_down
-- The same as completions_down for those with all of :metadata, and of :model unless it is NULL; the
-- index leads by one pair of the metadata.
SELECT c.key, c.created_at, c.model, c.metadata, c.body
FROM completion_metadata lead JOIN completions c ON c.no = lead.completion
WHERE lead.project = :project AND lead.name = :name AND lead.value = :value
  AND (:model IS NULL OR c.model = :model)
  AND (c.created_at, c.key) > (:low_at, :low_key) AND (c.created_at, c.key) < (:high_at, :high_key)
  AND NOT EXISTS (SELECT 1 FROM json_each(:metadata) wanted WHERE NOT EXISTS (
        SELECT 1 FROM completion_metadata m WHERE m.project = :project AND m.name = wanted.key
                                              AND m.value = wanted.value AND m.completion = c.no))
ORDER BY c.created_at DESC, c.key DESC LIMIT :limit

-- name: completion_messages_up
-- Messages of a completion with :low < number < :high, in order.
SELECT m.number, m.body FROM completion_messages m
WHERE m.completion = (SELECT no FROM completions WHERE project = :project AND key = :completion)
  AND m.number > :low AND m.number < :high
ORDER BY m.number LIMIT :limit

-- name: completion_messages_down
-- The same, last first.
SELECT m.number, m.body FROM completion_messages m
WHERE m.completion = (SELECT no FROM completions WHERE project = :project AND key = :completion)
  AND m.number > :low AND m.number < :high
ORDER BY m.number DESC LIMIT :limit

-- name: count_completion_messages
-- How many messages a completion has.
SELECT coalesce((SELECT max(number) + 1 FROM completion_messages m WHERE m.completion = c.no), 0)
FROM completions c WHERE c.project = :project AND c.key = :completion
