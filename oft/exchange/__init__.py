"""Adapters and checkpoints in the formats of others, and what a saved adapter is."""
