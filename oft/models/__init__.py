"""Base checkpoints and the networks that judge pictures."""
