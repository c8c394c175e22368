"""How the libraries behave while they load local weights."""

from __future__ import annotations


def hide_loading_bars() -> None:
    """Turn off transformers' bar for every file of weights: a stage has one progress bar, its own."""
    from transformers.utils import logging

    logging.disable_progress_bar()
