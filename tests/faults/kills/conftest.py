"""How often the tests here kill."""

from __future__ import annotations

import os

ROUNDS = int(os.environ.get("OFT_FAULT_ROUNDS", "2"))
