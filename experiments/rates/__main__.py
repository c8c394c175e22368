"""Print the best learning rate for each number of blocks, with scaled parameters and without.

`python -m experiments.rates` finetunes the base that `make repro` has placed: with the miniature base about
five minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oft.errors import UserError

if TYPE_CHECKING:
    from oft.adapters.oft.rotation import ParameterScale

BASE = Path("data/models/base")
NUM_BLOCKS = (1, 2, 4, 8, 16)
RATES = tuple(5e-4 * 2**power for power in range(7))
MAX_TRAIN_STEPS = 40


def main(arguments: Sequence[str]) -> None:
    """Finetune the base at every rate for every number of blocks and print scores and table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.rates", description=__doc__)
    parser.add_argument("--base", type=Path, default=BASE, help="a placed base (default: %(default)s)")
    parser.add_argument("--num-blocks", type=int, nargs="+", default=NUM_BLOCKS, help="the rotations' r")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="of Adam, three or more")
    parser.add_argument("--max-train-steps", type=int, default=MAX_TRAIN_STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    from experiments.rates.finetuning import Finetuning
    from experiments.rates.sweep import SCALES, markdown_table, score_rates
    from oft.models.base import load_base
    from oft.models.device import choose_device

    finetuning = Finetuning(load_base(options.base, choose_device()), options.seed)
    print(f"held-out loss of the base: {finetuning.held_out_loss():.4f}", flush=True)
    first_steps = {
        scale: {number: finetuning.first_step(number, scale) for number in options.num_blocks}
        for scale in SCALES
    }
    scores: dict[ParameterScale, dict[int, dict[float, float]]] = {scale: {} for scale in SCALES}
    for scale, rows in scores.items():
        for number in options.num_blocks:
            row = score_rates(finetuning, number, scale, sorted(options.rates), options.max_train_steps)
            print(", ".join(f"{rate:.1e}: {loss:.4f}" for rate, loss in row.items()), flush=True)
            rows[number] = row
    print(markdown_table(scores, first_steps))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
