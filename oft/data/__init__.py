"""Data: readers, conditions, captions, shards and the miniature world."""
