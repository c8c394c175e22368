"""Run a Prefect server, its deployments and a worker as one."""
