"""A Prefect server, its deployments and a worker, kept running as one and ended as one."""
