"""Tiny repositories to kill processes in, and how often."""

from __future__ import annotations

import os

from tests.flows.conftest import MakeRepository, make_repository

ROUNDS = int(os.environ.get("OFT_FAULT_ROUNDS", "2"))

__all__ = ["ROUNDS", "MakeRepository", "make_repository"]
