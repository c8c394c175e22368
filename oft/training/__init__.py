"""Training: objectives, the loop that minimises them, and checkpoints it resumes from."""
