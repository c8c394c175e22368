"""A training as a request: checked, queued by Prefect's REST API, run in a clone, its result published."""
