-- With what a file's chunks were embedded; NULL where they have no vectors.
ALTER TABLE vector_store_files ADD COLUMN model TEXT;
ALTER TABLE vector_store_files ADD COLUMN dimensions INTEGER;

-- A vector twice: a bit for each of its numbers, which a search reads of all chunks, beside each
-- other, and the numbers themselves (32-bit floats), which it reads of the likely ones.
CREATE TABLE chunk_bits (
    body TEXT NOT NULL,
    number INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    bits BLOB NOT NULL,
    PRIMARY KEY (body, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE chunk_vectors (chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT;

-- Whoever deletes a chunk deletes its vector, also a process that knows of no vectors.
CREATE TRIGGER chunk_vectors_go AFTER DELETE ON chunks BEGIN
    DELETE FROM chunk_bits WHERE body = old.body AND number = old.number;
    DELETE FROM chunk_vectors WHERE chunk = old.no;
END;
