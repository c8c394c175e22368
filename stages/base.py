"""Place the base checkpoint: the miniature one of the repository, a folder, a file or the hub's."""

from __future__ import annotations

import sys

from oft.models.base import place_base
from oft.models.placing import place
from oft.params import load_params
from stages.launch import paths
from stages.launch.arguments import parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write data/models/base in diffusers' layout, with base.json (origin, hash)."""
    parse(arguments, __doc__)
    settings = load_params().base
    if settings.source == "miniature":
        card = place_base(paths.MINIATURE / "base", paths.BASE, origin="miniature")
    else:
        card = place(settings, paths.BASE)
    taken = f"; of the UNet {card['unet_weights']}" if "unet_weights" in card else ""
    print(f"base {card['origin']}: {card['hash'][:16]}{taken}")


if __name__ == "__main__":
    run(main, sys.argv[1:])
