"""Where a stage runs: on this machine (``local``) or on any node of a cluster (``ray``)."""

from flows.executors.executor import EXECUTOR, EXECUTORS, Executor, open_executor

__all__ = ["EXECUTOR", "EXECUTORS", "Executor", "open_executor"]
