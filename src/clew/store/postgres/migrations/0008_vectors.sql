-- With what a file's chunks were embedded; NULL where they have no vectors. The vectors' own table
-- needs pgvector, so it is made where embeddings are asked for (create_vectors).
ALTER TABLE vector_store_files ADD COLUMN model text, ADD COLUMN dimensions bigint;
