"""Experiments: they answer a question about the method instead of serving the pipeline."""
