"""Prefect flows over DVC's graph: when stages run and with which retries; dvc.yaml has the graph."""
