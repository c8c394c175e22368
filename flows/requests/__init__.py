"""Training requests: check one, queue it by Prefect's REST API, run it in a clone, publish its result."""
