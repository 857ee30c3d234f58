-- name: list_compactions
-- The compactions that a thread itself has after :seq, up to :shown.
SELECT id FROM items
WHERE thread = :no AND seq > :seq AND seq <= :shown AND kind = 'compaction' AND body IS NOT NULL
ORDER BY seq
