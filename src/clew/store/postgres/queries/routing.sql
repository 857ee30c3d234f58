-- name: get_routing
-- The routing rules of a project.
SELECT revision, updated_at, rules FROM routing WHERE project = %(project)s

-- name: put_routing
-- Replace them.
INSERT INTO routing (project, revision, updated_at, rules)
VALUES (%(project)s, %(revision)s, %(updated_at)s, %(rules)s)
ON CONFLICT (project) DO UPDATE
SET revision = excluded.revision, updated_at = excluded.updated_at, rules = excluded.rules

-- name: lock_routing
-- Nobody else may replace them until the end; makes an empty list where there is none to lock.
INSERT INTO routing (project, revision, updated_at, rules) VALUES (%(project)s, 0, 0, '[]')
ON CONFLICT (project) DO UPDATE SET project = excluded.project
