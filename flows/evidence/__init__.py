"""Runs the experiments of `experiments.claims`, keeps their numbers in one table, and writes the page."""
