-- Which items of a thread are compactions: when an item is erased, so is every summary of it.
CREATE INDEX items_compactions ON items (thread, seq) WHERE kind = 'compaction';
