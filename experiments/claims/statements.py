"""The paper's claims, each as comparisons whose first arm should be the better one.

Figures of the paper are those of arXiv 2306.07280 for Stable Diffusion 1.5. A question that it does not ask
is marked as ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.claims.catalogue import (
    BLOCKS,
    CONTROL_TASK,
    LAYERS,
    LONG,
    RANKS,
    SHARED,
    SHARED_BLOCKS,
    SHARES,
    STEPS,
    SUBJECT_TASK,
    at_constant_rate,
    on_layers,
    with_blocks,
    with_data,
    with_rank,
    with_steps,
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
LONGEST = at_constant_rate(LONG[-1])

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
        _kept_beside_lora(params),
        _energy(params),
        _convergence(params),
        _data(params),
        _fewer_parameters(),
        _equal_parameters(),
        _sharing(),
        _layers(),
        _stability(),
        _radius(),
        _magnitudes(params),
    )


def _lengths(params: Params) -> str:
    control, subject = params.train, params.train_subject
    return (
        f"Trainings here are {control.max_train_steps} steps of {control.batch_size} pictures (a subject: "
        f"{subject.max_train_steps} of {subject.batch_size}), the paper's are 20 epochs."
    )


def _control(params: Params) -> Statement:
    return Statement(
        "control",
        "Control",
        "Do pictures drawn with OFT follow the condition better than those of LoRA and ControlNet?",
        "Table 2: segmentation 27.06 mIoU, against 22.98 for LoRA and 20.88 for ControlNet; edges .323 F1, "
        "against .286 and .317.",
        f"{SMALL_WORLD} {_lengths(params)} Here LoRA has the same hint encoder as OFT, and one learning rate "
        "serves all adapters; docs/adapters.md says what each gains by a rate of its own.",
        tuple(Comparison(task, OFT, other) for task in params.control_tasks for other in (LORA, CONTROLNET)),
    )


def _hint(params: Params) -> Statement:
    return Statement(
        "hint",
        "Rotations beside the hint encoder",
        "Do the rotations add to what the hint encoder learns alone?",
        "The paper trains the hint encoder with the rotations and never alone.",
        f"{SMALL_WORLD} There, with r = 4, the hint encoder has 1.09 M parameters beside 13.1 M of the "
        "rotations.",
        tuple(Comparison(task, OFT, HINT) for task in params.control_tasks),
        in_paper=False,
    )


def _subject(params: Params) -> Statement:
    others = ("dreambooth", "dreambooth_lora", "lora")
    metrics = ("", "prompt_similarity")
    return Statement(
        "subject",
        "Subjects",
        "Does OFT draw a subject more like itself, and closer to the prompt, than DreamBooth and LoRA do?",
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
        in_paper=False,
    )


def _kept(params: Params) -> Statement:
    full = {task: "dreambooth" if task in params.subject_tasks else "full" for task in _all_tasks(params)}
    return Statement(
        "kept",
        "What is kept",
        "Do pictures of unrelated prompts move less with OFT than with full finetuning?",
        "The core sentence of the paper: rotations keep what the base knows. It has no figure for it.",
        f"{SMALL_WORLD} Drift is a number of each run, compared by its ratio.",
        tuple(Comparison(task, OFT, Arm(other), "drift", ratio=True) for task, other in full.items()),
    )


def _kept_beside_lora(params: Params) -> Statement:
    return Statement(
        "kept-lora",
        "What is kept, beside LoRA",
        "Do pictures of unrelated prompts move less with OFT than with LoRA?",
        "The paper shows LoRA losing what the base knows in examples. It has no figure for it.",
        f"{SMALL_WORLD} Drift is a number of each run, compared by its ratio.",
        tuple(Comparison(task, OFT, LORA, "drift", ratio=True) for task in _all_tasks(params)),
    )


def _all_tasks(params: Params) -> tuple[str, ...]:
    return (*params.control_tasks, *params.subject_tasks, *params.style_tasks)


def _energy(params: Params) -> Statement:
    return Statement(
        "energy",
        "Hyperspherical energy",
        "Does OFT leave the hyperspherical energy of the layers as it was, where LoRA and full finetuning do "
        "not?",
        "Rotations of all of a layer's neurons together leave it unchanged: what the method is made for.",
        "It is a law of the method, not of a world: what OFT changes is rounding.",
        tuple(
            Comparison(task, OFT, Arm(other), "energy_change", ratio=True)
            for task in params.control_tasks
            for other in ("lora", "full")
        ),
    )


def _convergence(params: Params) -> Statement:
    steps = STEPS[-1]
    return Statement(
        "convergence",
        "Convergence",
        f"Does OFT do better in {steps} steps than LoRA in {params.train.max_train_steps}?",
        "OFT at epoch 8 is where LoRA is at epoch 20: two fifths of the steps.",
        f"{SMALL_WORLD} {_lengths(params)} Each number of steps is a whole training here, with its own "
        "warm-up and cosine.",
        (Comparison(CONTROL_TASK, Arm("oft", with_steps(steps)), LORA),),
    )


def _data(params: Params) -> Statement:
    few, half = map(with_data, (SHARES[0], SHARES[-1]))
    num_images = params.datasets[params.tasks[CONTROL_TASK].dataset].num_train_images
    return Statement(
        "data",
        "Little data",
        f"Does OFT with {SHARES[0]:.0%} of the pictures do better than LoRA and ControlNet with "
        f"{SHARES[-1]:.0%}?",
        "With 5 % of ADE20K OFT converges where ControlNet and LoRA need 50 %.",
        f"{SMALL_WORLD} {SHARES[-1]:.0%} is {round(num_images * SHARES[-1])} pictures here and 10,000 there; "
        "all are trained for as many steps.",
        tuple(
            Comparison(CONTROL_TASK, Arm("oft", few), Arm(other, half)) for other in ("lora", "controlnet")
        ),
    )


def _fewer_parameters() -> Statement:
    arms = [OFT, *(Arm("oft", with_blocks(r)) for r in BLOCKS)]
    return Statement(
        "blocks",
        "More blocks, fewer parameters",
        "Does control get worse as blocks get more, and parameters fewer?",
        "27.18, 27.06, 24.09, 21.0 mIoU for r = 2, 4, 8, 16.",
        f"{SMALL_WORLD} Of what is trained, one block here is as large a share as four are there.",
        tuple(
            Comparison(CONTROL_TASK, fewer, more) for fewer, more in ((arms[0], arms[2]), (arms[0], arms[-1]))
        ),
    )


def _equal_parameters() -> Statement:
    pairs = zip((OFT, *(Arm("oft", with_blocks(r)) for r in BLOCKS)),
                (LORA, *(Arm("lora", with_rank(r)) for r in RANKS)), strict=True)  # fmt: skip
    return Statement(
        "parameters",
        "As many parameters",
        "With as many parameters, does OFT control better than LoRA at every size?",
        "Table 2 compares OFT and LoRA at about 16 million parameters each; the paper has no sweep of LoRA's "
        "rank.",
        f"{SMALL_WORLD} Ranks are those with about as many parameters, the hint encoder beside both.",
        tuple(Comparison(CONTROL_TASK, oft, lora) for oft, lora in pairs),
        in_paper=False,
    )


def _sharing() -> Statement:
    return Statement(
        "sharing",
        "Shared blocks",
        "Does OFT control better with four blocks of their own than with one that four places share?",
        "The paper offers shared blocks as a way to fewer parameters.",
        SMALL_WORLD,
        (Comparison(CONTROL_TASK, Arm("oft", with_blocks(SHARED_BLOCKS)), Arm("oft", SHARED)),),
        in_paper=False,
    )


def _layers() -> Statement:
    attention, convolution, both = (Arm("oft", on_layers(name)) for name in LAYERS)
    return Statement(
        "layers",
        "Attention or convolutions",
        "Does turning attention layers do better than turning convolutions, and turning both better than "
        "attention alone?",
        "The paper turns attention; its appendix D describes convolutions as a possibility, without figures.",
        f"{SMALL_WORLD} Blocks are 32 wide in all layers.",
        (Comparison(CONTROL_TASK, attention, convolution), Comparison(CONTROL_TASK, both, attention)),
        in_paper=False,
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
        SMALL_WORLD,
        (Comparison(SUBJECT_TASK, coft, Arm("oft", LONGEST), "prompt_similarity"),),
    )


def _magnitudes(params: Params) -> Statement:
    return Statement(
        "magnitudes",
        "Magnitudes",
        "Do pictures get better when magnitudes are fitted after the rotations?",
        "FID of COFT on segmentation is 30.8 before and 30.2 after.",
        f"{SMALL_WORLD} Fitting takes {params.fit_magnitude.max_train_steps} steps here, 5 epochs there.",
        tuple(
            Comparison(task, OFT, OFT, metric, BEFORE_MAGNITUDES)
            for task in params.control_tasks
            for metric in ("", "frechet_distance")
        ),
    )
