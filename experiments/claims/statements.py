"""The paper's claims, each as comparisons whose first arm should be the better one.

Figures of the paper are those of arXiv 2306.07280 for Stable Diffusion 1.5. Where it makes no such claim,
that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.claims.catalogue import (
    BLOCKS,
    CONTROL_TASK,
    LONG,
    RANKS,
    SHARES,
    STEPS,
    SUBJECT_TASK,
)
from experiments.claims.statistics import Arm
from experiments.claims.verdicts import Comparison, Statement
from oft.evaluation.metric import BEFORE_MAGNITUDES

if TYPE_CHECKING:
    from oft.params import Params

SMALL_WORLD = (
    "The miniature's base has 13 million parameters and draws 64 px pictures of a rendered world, which its "
    "own judges look at; the paper has Stable Diffusion 1.5 at 512 px on photographs."
)
SHORT = "Trainings here are 550 steps of 16 pictures (a subject: 300 of 4), the paper's are 20 epochs."
LONGEST = f"constant rate, steps={LONG[-1]}"

OFT, LORA, CONTROLNET, HINT = Arm("oft"), Arm("lora"), Arm("controlnet"), Arm("hint")


def statements(params: Params) -> tuple[Statement, ...]:
    """Return the claims about a profile's tasks, in the page's order.

    Args:
        params: the profile's settings.
    """
    return (
        _control(params),
        _hint(params),
        _subject(params),
        _style(params),
        _kept(params),
        _energy(params),
        _convergence(),
        _data(),
        _fewer_parameters(),
        _equal_parameters(),
        _sharing(),
        _layers(),
        _stability(),
        _radius(),
        _magnitudes(params),
    )


def _control(params: Params) -> Statement:
    return Statement(
        "control",
        "Control",
        "Do pictures drawn with OFT follow the condition better than those of LoRA and ControlNet?",
        "Table 2: segmentation 27.06 mIoU, against 22.98 for LoRA and 20.88 for ControlNet; edges .323 F1, "
        "against .286 and .317.",
        f"{SMALL_WORLD} {SHORT} Here LoRA has the same hint encoder as OFT.",
        tuple(Comparison(task, OFT, other) for task in params.control_tasks for other in (LORA, CONTROLNET)),
    )


def _hint(params: Params) -> Statement:
    return Statement(
        "hint",
        "Rotations beside the hint encoder",
        "Do the rotations add to what the hint encoder learns alone?",
        "The paper trains the hint encoder with the rotations and never alone.",
        f"{SMALL_WORLD} There the hint encoder has 1.09 M parameters beside 6.54 M of the rotations.",
        tuple(Comparison(task, OFT, HINT) for task in params.control_tasks),
    )


def _subject(params: Params) -> Statement:
    others = ("dreambooth", "dreambooth_lora", "lora")
    metrics = ("", "prompt_similarity")
    return Statement(
        "subject",
        "Subjects",
        "Does OFT draw a subject more like itself, and keep to the prompt as well, as DreamBooth and LoRA?",
        "Subject-driven table: DINO .632, against .614 for DreamBooth and .613 for LoRA; CLIP-T .237, "
        "against .239 and .237.",
        f"{SMALL_WORLD} One toy with 25 prompts here, 30 subjects there.",
        tuple(
            Comparison(task, OFT, Arm(other), metric)
            for task in params.subject_tasks
            for metric in metrics
            for other in others
        ),
    )


def _style(params: Params) -> Statement:
    return Statement(
        "style",
        "Styles",
        "Does OFT draw prompts that it was not trained on more in the style than LoRA and full finetuning?",
        "The paper has no styles.",
        SMALL_WORLD,
        tuple(
            Comparison(task, OFT, Arm(other), "style_similarity_unseen")
            for task in params.style_tasks
            for other in ("lora", "full")
        ),
    )


def _kept(params: Params) -> Statement:
    tasks = (
        *((task, ("lora", "full")) for task in params.control_tasks),
        *((task, ("lora", "dreambooth")) for task in params.subject_tasks),
        *((task, ("lora", "full")) for task in params.style_tasks),
    )
    return Statement(
        "kept",
        "What is kept",
        "Do pictures of unrelated prompts move less with OFT than with LoRA and full finetuning?",
        "The core sentence of the paper: rotations keep what the base knows. It has no figure for it.",
        f"{SMALL_WORLD} Drift is a number of each run, so its intervals need several seeds.",
        tuple(Comparison(task, OFT, Arm(other), "drift") for task, others in tasks for other in others),
    )


def _energy(params: Params) -> Statement:
    return Statement(
        "energy",
        "Hyperspherical energy",
        "Does OFT leave the hyperspherical energy of the layers as it was, where LoRA and full finetuning do "
        "not?",
        "Rotations of all of a layer's neurons together leave it unchanged: what the method is made for.",
        "It is a law of the method, not of a world: what OFT changes is rounding.",
        tuple(
            Comparison(task, OFT, Arm(other), "energy_change")
            for task in params.control_tasks
            for other in ("lora", "full")
        ),
    )


def _convergence() -> Statement:
    half, quarter = f"steps={STEPS[-1]}", f"steps={STEPS[-2]}"
    return Statement(
        "convergence",
        "Convergence",
        "Does OFT in half of the steps, and in a quarter of them, do better than LoRA in all?",
        "OFT at epoch 8 is where LoRA is at epoch 20: two fifths of the steps.",
        f"{SHORT} Each number of steps is a whole training here, with its own warm-up and cosine.",
        tuple(Comparison(CONTROL_TASK, Arm("oft", steps), LORA) for steps in (half, quarter)),
    )


def _data() -> Statement:
    few, half = (f"data={share:.0%}" for share in (SHARES[0], SHARES[-1]))
    return Statement(
        "data",
        "Little data",
        "Does OFT with 5 % of the pictures do better than LoRA and ControlNet with half of them?",
        "With 5 % of ADE20K OFT converges where ControlNet and LoRA need 50 %.",
        f"{SMALL_WORLD} Half is 512 pictures here and 10,000 there; all are trained for as many steps.",
        tuple(
            Comparison(CONTROL_TASK, Arm("oft", few), Arm(other, half)) for other in ("lora", "controlnet")
        ),
    )


def _fewer_parameters() -> Statement:
    arms = [OFT, *(Arm("oft", f"blocks={r}") for r in BLOCKS)]
    return Statement(
        "blocks",
        "More blocks, fewer parameters",
        "Does control get worse as blocks get more, and parameters fewer?",
        "27.18, 27.06, 24.09, 21.0 mIoU for r = 2, 4, 8, 16.",
        f"{SMALL_WORLD} One block here is as large a share of the parameters as four are there.",
        tuple(
            Comparison(CONTROL_TASK, fewer, more) for fewer, more in ((arms[0], arms[2]), (arms[0], arms[-1]))
        ),
    )


def _equal_parameters() -> Statement:
    pairs = zip((OFT, *(Arm("oft", f"blocks={r}") for r in BLOCKS)),
                (LORA, *(Arm("lora", f"rank={r}") for r in RANKS)), strict=True)  # fmt: skip
    return Statement(
        "parameters",
        "As many parameters",
        "With as many parameters, does OFT control better than LoRA at every size?",
        "Table 2 compares OFT and LoRA at about 16 million parameters each; the paper has no sweep of LoRA's "
        "rank.",
        f"{SMALL_WORLD} Ranks are those with about as many parameters, the hint encoder beside both.",
        tuple(Comparison(CONTROL_TASK, oft, lora) for oft, lora in pairs),
    )


def _sharing() -> Statement:
    return Statement(
        "sharing",
        "Shared blocks",
        "Do four blocks of their own control better than one that all four places share?",
        "The paper offers shared blocks as a way to fewer parameters.",
        SMALL_WORLD,
        (Comparison(CONTROL_TASK, Arm("oft", "blocks=4"), Arm("oft", "blocks=4, shared")),),
    )


def _layers() -> Statement:
    attention, convolution, both = (
        Arm("oft", f"layers={name}") for name in ("attention", "convolution", "both")
    )
    return Statement(
        "layers",
        "Attention or convolutions",
        "Does turning attention layers do better than turning convolutions, and turning both better than "
        "attention alone?",
        "The paper turns attention; its appendix D describes convolutions as a possibility, without figures.",
        f"{SMALL_WORLD} Blocks are 32 wide in all layers.",
        (Comparison(CONTROL_TASK, attention, convolution), Comparison(CONTROL_TASK, both, attention)),
    )


def _stability() -> Statement:
    oft = Arm("oft", LONGEST)
    others = (Arm("dreambooth", LONGEST), Arm("lora", LONGEST))
    return Statement(
        "stability",
        "Too long a training",
        f"After {LONG[-1]} steps at a constant rate, does OFT keep to the prompt better than DreamBooth and "
        "LoRA?",
        "In the paper's examples DreamBooth and LoRA lose the prompt after some thousand steps, OFT and COFT "
        "do not; it has no figure for it.",
        SMALL_WORLD,
        tuple(Comparison(SUBJECT_TASK, oft, other, "prompt_similarity") for other in others),
    )


def _radius() -> Statement:
    coft = Arm("coft", LONGEST)
    return Statement(
        "radius",
        "COFT's constraint",
        "Does COFT keep to the prompt better than OFT after a long training?",
        "COFT is said to be more stable: .235 CLIP-T against .237 for OFT at the paper's own length.",
        f"{SMALL_WORLD} Blocks here may turn about half as far as OFT's do without a bound.",
        (Comparison(SUBJECT_TASK, coft, Arm("oft", LONGEST), "prompt_similarity"),),
    )


def _magnitudes(params: Params) -> Statement:
    return Statement(
        "magnitudes",
        "Magnitudes",
        "Do pictures get better when magnitudes are fitted after the rotations?",
        "FID 30.8 becomes 30.2 on segmentation.",
        f"{SMALL_WORLD} Fitting takes 40 steps here, 5 epochs there.",
        tuple(
            Comparison(task, OFT, OFT, metric, BEFORE_MAGNITUDES)
            for task in params.control_tasks
            for metric in ("", "frechet_distance")
        ),
    )
