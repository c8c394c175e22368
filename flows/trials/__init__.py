"""Trials: runs of the pipeline under several seeds or settings, compared with intervals (experiments/gains).

Plain functions over git and DVC: each trial is the pipeline itself in a clone, with the repository's cache.
"""
