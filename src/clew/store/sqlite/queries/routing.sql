-- name: get_routing
-- The routing rules of a project.
SELECT revision, updated_at, rules FROM routing WHERE project = :project

-- name: put_routing
-- Replace them.
INSERT INTO routing (project, revision, updated_at, rules)
VALUES (:project, :revision, :updated_at, :rules)
ON CONFLICT (project) DO UPDATE
SET revision = excluded.revision, updated_at = excluded.updated_at, rules = excluded.rules
