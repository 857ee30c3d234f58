-- name: set_model
-- With what the chunks of an attempt are embedded.
UPDATE vector_store_files SET model = :model, dimensions = :dimensions WHERE body = :body

-- name: insert_vectors
-- The vector of a chunk.
INSERT INTO chunk_vectors (chunk, vector)
SELECT no, :vector FROM chunks WHERE body = :body AND number = :number

-- name: insert_bits
-- The signs of a vector's numbers.
INSERT INTO chunk_bits (body, number, chunk, bits)
SELECT :body, :number, no, vec_quantize_binary(:vector) FROM chunks
WHERE body = :body AND number = :number

-- name: nearest_chunks
-- Chunks of a store's completed files (of those in `files`, unless it is NULL) that were embedded
-- with that model, nearest first: the likely ones by their bits, then by their vectors.
WITH likely AS MATERIALIZED (
    SELECT b.chunk,
           vec_distance_hamming(
               vec_bit(b.bits), vec_bit((SELECT vec_quantize_binary(:vector)))) AS unlike
    FROM vector_store_files f CROSS JOIN chunk_bits b ON b.body = f.body
    WHERE f.store = :no AND f.status = 'completed'
      AND f.model = :model AND f.dimensions = :dimensions
      AND (:files IS NULL OR f.file IN (SELECT value FROM json_each(:files)))
    ORDER BY unlike LIMIT :likely),
near AS MATERIALIZED (
    SELECT v.chunk, 1 - vec_distance_cosine(v.vector, :vector) AS score
    FROM likely l CROSS JOIN chunk_vectors v ON v.chunk = l.chunk
    ORDER BY score DESC LIMIT :limit)
SELECT f.file, (SELECT filename FROM files WHERE project = f.project AND key = f.file),
       f.attributes, c.number, c.text, n.score
FROM near n CROSS JOIN chunks c ON c.no = n.chunk
CROSS JOIN vector_store_files f ON f.body = c.body
ORDER BY n.score DESC, f.file, c.number
