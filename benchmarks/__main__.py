"""``python -m benchmarks``: speed, memory and accuracy against peers; see `benchmarks.arguments`."""

from __future__ import annotations

import sys

from benchmarks.arguments import build_parser
from oft.errors import UserError

if __name__ == "__main__":
    build_parser().parse_args()  # help and mistakes are answered before torch is imported
    from benchmarks.command import main

    try:
        main(sys.argv[1:])
    except UserError as fault:
        sys.exit(f"{fault}")
