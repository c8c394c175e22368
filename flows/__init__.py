"""Prefect flows over DVC's graph: when and with what retries; what depends on what stays in dvc.yaml."""
