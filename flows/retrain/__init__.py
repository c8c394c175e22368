"""Retraining: look for new data, train in a clone, judge against the promoted model, promote or reject.

Plain functions over git and DVC; only `flow` imports Prefect.
"""
