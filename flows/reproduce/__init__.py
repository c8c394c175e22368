"""The flow `reproduce`: DVC's graph walked, stages side by side, with and without Prefect."""
