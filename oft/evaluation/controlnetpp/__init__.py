"""ControlNet++'s protocol (Li et al. 2024, arXiv 2404.07987), under names of its own.

Four figures of the paper's controllability table, as the authors' evaluation code takes them
(liming-ai/ControlNet_Plus_Plus, eval/ at commit ecccfe2): what the paper leaves open, the code says. They are
measured where ``evaluate.controlnetpp.enabled`` is true, beside the reference protocol's, and never share its
names, judges or pixels. The code draws four pictures of 512 px for each condition (UniPC, 20 steps, guidance
7.5, in fp16, with the negative prompt "worst quality, low quality", where the paper says that there is none);
conf/controlnetpp.yaml has those settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oft.settings.evaluation import Evaluation

CONTROLNETPP_SIDE_PX = 512
CONTROLNETPP_NUM_SAMPLES = 4


def is_enabled(settings: Evaluation) -> bool:
    """Return whether a run is measured by this protocol too."""
    return settings.controlnetpp.enabled
