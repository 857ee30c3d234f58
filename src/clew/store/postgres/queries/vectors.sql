-- name: create_vectors
-- The vectors of chunks, of any length; whoever deletes a chunk deletes its vector. A vector stays
-- in its row where it fits: a search reads them all.
CREATE TABLE IF NOT EXISTS chunk_vectors (
    body text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    vector halfvec STORAGE main NOT NULL,
    PRIMARY KEY (body, number),
    FOREIGN KEY (body, number) REFERENCES chunks (body, number) ON DELETE CASCADE
) WITH (toast_tuple_target = 8160)

-- name: set_model
-- With what the chunks of an attempt are embedded.
UPDATE vector_store_files SET model = %(model)s, dimensions = %(dimensions)s
WHERE body = %(body)s

-- name: insert_vectors
-- The vectors of an attempt's chunks.
INSERT INTO chunk_vectors (body, number, vector)
SELECT %(body)s, v.number, v.vector::halfvec
FROM unnest(%(numbers)s::bigint[], %(vectors)s::text[]) AS v (number, vector)

-- name: nearest_chunks
-- Chunks of a store's completed files (of those in `files`, unless it is NULL) that were embedded
-- with that model, nearest first.
WITH near AS MATERIALIZED (
    SELECT f.file, f.attributes, v.body, v.number, v.vector <=> %(vector)s::halfvec AS far
    FROM vector_store_files f JOIN chunk_vectors v ON v.body = f.body
    WHERE f.project = %(project)s AND f.store = %(store)s AND f.status = 'completed'
      AND f.model = %(model)s AND f.dimensions = %(dimensions)s
      AND (%(files)s::text[] IS NULL OR f.file = ANY (%(files)s::text[]))
    ORDER BY far, f.file, v.number LIMIT %(limit)s)
SELECT n.file, (SELECT filename FROM files WHERE project = %(project)s AND id = n.file),
       n.attributes, n.number, c.text, 1 - n.far
FROM near n JOIN chunks c ON c.body = n.body AND c.number = n.number
ORDER BY n.far, n.file, n.number
