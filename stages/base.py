"""Place the base checkpoint: the miniature one that ships with the repository, or your own folder."""

from __future__ import annotations

import sys
from pathlib import Path

from oft.models.base import place_base
from oft.params import load_params
from stages import paths
from stages.arguments import parse
from stages.entry import run


def main(arguments: list[str]) -> None:
    """Write data/models/base in diffusers' layout, with base.json (origin, hash)."""
    parse(arguments, __doc__)
    source = load_params().base.source
    card = place_base(paths.base_source(source), paths.BASE, origin=Path(source).name)
    print(f"base {card['origin']}: {card['hash'][:16]}")


if __name__ == "__main__":
    run(main, sys.argv[1:])
