-- name: list_compactions
-- The compactions after a seq that a thread and its ancestors have, in this thread erased or not.
WITH RECURSIVE line (depth, thread_id, shown, parent, parent_seq) AS ($lineage)
SELECT DISTINCT i.id FROM line JOIN items i ON i.thread_id = line.thread_id
WHERE i.kind = 'compaction' AND i.body IS NOT NULL AND i.seq > %(seq)s AND i.seq <= line.shown
