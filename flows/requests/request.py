"""The training request: its parameters and their rules; a faulty one is refused with all faults at once.

Over 400 lines, half of them the parameters' descriptions, which schema, API and command line show.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from flows.requests.addresses import (
    Endpoint,
    check_s3,
    parse_any_endpoint,
    parse_endpoint,
    require_below_roots,
)
from flows.requests.prompts import Subject, check_plain, normalize, split_prompts
from flows.requests.site import ROOTS, WEBHOOK_SECRET, Site
from flows.requests.widths import adapted_widths
from oft.acquire.archives import is_archive
from oft.adapters.registry import METHODS
from oft.errors import ParamsError, UserError
from oft.prepare.subjects import place_prompts
from oft.profiles import compose_profile, list_profiles
from oft.settings.section import Name, multiple_of
from oft.settings.training import share_training

# Never repeated in a message: an address may hold a password or a signature.
ADDRESSES = ("instance_images", "class_images", "output", "webhook")
MAX_ADDRESS_CHARS = 2048
MAX_SHOWN_CHARS = 80
MAX_FAULTS = 20
"""Told one by one, so that a message stays one that can be read."""

Prompt = Annotated[str, AfterValidator(check_plain)]
Address = Annotated[str, Field(min_length=1, max_length=MAX_ADDRESS_CHARS)]
LrScheduler = Literal[
    "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"
]


class TrainingRequest(BaseModel):
    """A training of one subject from a few pictures. What is left out has the profile's value."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    instance_images: Address = Field(
        description="3 to 100 pictures of the subject: a zip or tar archive or a folder, as https:// or "
        "s3:// address or path below an allowed folder of the server."
    )
    instance_prompt: Prompt = Field(
        description="What the pictures show: class_prompt with one rare word before the class, "
        "'a photo of sks robot'."
    )
    class_prompt: Prompt = Field(description="What things of its class show: 'a photo of robot'.")
    class_images: Address | None = Field(
        default=None,
        description="1 to 1000 pictures of other things of the class for prior preservation, given as "
        "instance_images are; none: the base draws num_class_images.",
    )
    output: Address = Field(
        description="Where the result goes, in a folder named by the run: s3://bucket/prefix or a folder, "
        "below those the server allows."
    )
    profile: str = Field(
        default="miniature",
        pattern=r"^[a-z0-9][a-z0-9-]{0,63}$",
        description="A file of conf/profile without .yaml: base model, sampler, judges, and every setting "
        "that is left out here.",
    )
    adapter: Name = Field(
        default="oft",
        description="An adapter of the profile's `adapters`, by its name: oft (orthogonal finetuning), coft "
        "(constrained to a ball round the identity), lora, dreambooth, or another that can learn a subject.",
    )
    num_blocks: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Diagonal blocks of each rotation, the paper's r; must divide the width of every adapted "
        "layer.",
    )
    max_train_steps: Annotated[int, Field(ge=2, le=20_000)] | None = Field(
        default=None, description="Optimizer steps, 2 to 20000."
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Peak learning rate, above 0, at most 1."
    )
    scale_lr: bool | None = Field(
        default=None,
        description="Multiply learning_rate by the pictures of a step, as diffusers' trainers do.",
    )
    lr_scheduler: LrScheduler | None = Field(
        default=None,
        description="How the learning rate changes, by diffusers' name: constant, constant_with_warmup, "
        "linear, cosine, cosine_with_restarts (lr_num_cycles times) or polynomial (lr_power).",
    )
    lr_warmup_steps: Annotated[int, Field(ge=0, le=20_000)] | None = Field(
        default=None,
        description="Steps in which the learning rate rises from zero, 0 to below max_train_steps; none: the "
        "profile's, at most a tenth of max_train_steps.",
    )
    lr_num_cycles: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="How often lr_scheduler cosine_with_restarts falls, 1 to 1000."
    )
    lr_power: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="Power of lr_scheduler polynomial, above 0, at most 10; 1 is a line."
    )
    train_text_encoder: bool | None = Field(
        default=None,
        description="Train the text encoder along, with an adapter that can: those of method peft and full, "
        "such as lora and dreambooth.",
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default=0, description="Source of all randomness: the same request gives the same bytes."
    )
    resolution_px: Annotated[int, Field(ge=64, le=1024), multiple_of(8)] | None = Field(
        default=None,
        description="Side of the square pictures trained on, pixels; a multiple of 8, 64 to 1024.",
    )
    num_class_images: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Pictures of the class that the base draws for prior preservation, 1 to 1000.",
    )
    prior_loss_weight: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Weight of the loss on the class pictures, 0 (none) to 10."
    )
    gallery_prompts: Annotated[list[Prompt], Field(max_length=50)] = Field(
        default=[],
        description="Prompts of the gallery, at most 50, each with the subject's word; none: six of our own.",
    )
    num_gallery_images: Annotated[int, Field(ge=1, le=16)] = Field(
        default=4, description="Pictures of each gallery prompt, 1 to 16."
    )
    webhook: Address | None = Field(
        default=None,
        description="https:// address that a signed JSON message is posted to when the run has completed, "
        "failed, crashed or been cancelled.",
    )

    @property
    def subject(self) -> Subject:
        """The subject that the two prompts define."""
        return split_prompts(self.instance_prompt, self.class_prompt)

    @property
    def prompts(self) -> list[str]:
        """The prompts of the gallery, at least one."""
        return list(self.gallery_prompts) or place_prompts(self.instance_prompt)


def parse_request(values: Any, site: Site | None = None) -> TrainingRequest:
    """Return the request in ``values``, addresses in full.

    Args:
        site: what the server allows; None skips the checks that depend on it.

    Raises:
        ParamsError: it lists every unknown key, missing key, wrong type, value out of range or out of bounds.
    """
    if isinstance(values, TrainingRequest):
        values = values.model_dump()
    if not isinstance(values, Mapping):
        raise ParamsError('request: must be an object of parameters, such as {"instance_prompt": ...}')
    faults: list[str] = []
    broken: set[str] = set()
    num_more = 0
    try:
        TrainingRequest.model_validate(dict(values))
    except ValidationError as error:
        found = error.errors()
        broken = {str(fault["loc"][0]) for fault in found}
        faults += map(_describe_fault, found[:MAX_FAULTS])
        num_more = len(found) - len(faults)
    sound = {
        name: values.get(name, field.default)
        for name, field in TrainingRequest.model_fields.items()
        if name not in broken
    }
    resolved: dict[str, Any] = {}
    for needed, check in _checks(site):
        if needed <= set(sound):
            try:
                resolved |= check(sound)
            except UserError as error:
                faults.append(str(error))
    if faults:
        raise ParamsError(
            f"{len(faults) + num_more} parameter(s) of the request break the rules:\n"
            + "\n".join(f"  - {fault}" for fault in faults)
            + (f"\n  and {num_more} more" if num_more else "")
        )
    return TrainingRequest.model_validate(sound | resolved)


Check = Callable[[Mapping[str, Any]], Mapping[str, Any]]
ProfileCheck = Callable[[Mapping[str, Any], dict[str, Any]], None]


def _checks(site: Site | None) -> Iterator[tuple[set[str], Check]]:
    """Yield the checks beyond one field's type, each with the fields that it needs."""
    yield {"instance_prompt", "class_prompt"}, _keyed("instance_prompt", _check_prompts)
    yield (
        {"instance_prompt", "class_prompt", "gallery_prompts"},
        _keyed("gallery_prompts", _check_gallery),
    )
    for key in ("instance_images", "class_images"):
        yield {key}, _keyed(key, partial(_check_images, key, site))
    yield {"class_images", "num_class_images"}, _keyed("num_class_images", _check_class_images)
    yield {"lr_scheduler", "lr_warmup_steps"}, _keyed("lr_warmup_steps", _check_warmup)
    yield {"output"}, _keyed("output", lambda asked: _check_output(asked, site))
    yield {"webhook"}, _keyed("webhook", lambda asked: _check_webhook(asked, site))
    if site is not None:
        yield {"profile"}, _keyed("profile", partial(_check_profile, site))
        profile = cache(partial(compose_profile, site.repository / "conf"))
        yield from _profile_checks(site, profile)


def _profile_checks(site: Site, profile: Callable[[str], dict[str, Any]]) -> Iterator[tuple[set[str], Check]]:
    """Yield the checks against the settings of the profile, which ``profile`` composes by its name."""
    checks: tuple[tuple[str, ProfileCheck, set[str]], ...] = (
        ("num_blocks", partial(_check_widths, site), {"num_blocks"}),
        ("adapter", _check_adapter, {"adapter"}),
        ("num_blocks", partial(_check_taken, "num_blocks", "has no blocks"), {"adapter", "num_blocks"}),
        (
            "train_text_encoder",
            partial(_check_taken, "train_text_encoder", "does not train it"),
            {"adapter", "train_text_encoder"},
        ),
        ("lr_warmup_steps", _check_steps, {"max_train_steps", "lr_warmup_steps"}),
    )
    for key, check, needed in checks:
        yield needed | {"profile"}, _keyed(key, partial(_check_composed, check, site, profile))


def _check_composed(
    check: ProfileCheck,
    site: Site,
    profile: Callable[[str], dict[str, Any]],
    asked: Mapping[str, Any],
) -> Mapping[str, Any]:
    if asked["profile"] in list_profiles(site.repository / "conf"):  # else it is said already
        check(asked, profile(asked["profile"]))
    return {}


def _keyed(key: str, check: Check) -> Check:
    def named(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return check(asked)
        except UserError as error:
            raise ParamsError(f"{key}: {error}") from None

    return named


def _check_prompts(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    split_prompts(asked["instance_prompt"], asked["class_prompt"])
    return {}


def _check_gallery(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        identifier = split_prompts(asked["instance_prompt"], asked["class_prompt"]).identifier
    except ParamsError:
        return {}  # said already
    for prompt in asked["gallery_prompts"]:
        if identifier not in normalize(prompt).split(" "):
            raise ParamsError(f"{prompt[:MAX_SHOWN_CHARS]!r} does not name the subject: add {identifier!r}")
    return {}


def _check_images(key: str, site: Site | None, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    source = asked[key]
    if source is None:
        return {}
    if source.startswith("s3://"):
        check_s3(source)
    elif "://" in source:
        endpoint = _endpoint(source, site)
        if not is_archive(endpoint.path.partition("?")[0]):
            raise ParamsError("must lead to a file named .zip, .tar, .tar.gz or .tgz")
        return {}
    return {key: require_below_roots(source, site.roots)} if site else {}


def _check_class_images(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    if asked["class_images"] is not None and asked["num_class_images"] is not None:
        raise ParamsError(
            f"the base draws none beside class_images; it is {asked['num_class_images']}; leave one of "
            "the two out"
        )
    return {}


def _check_warmup(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    if asked["lr_scheduler"] == "constant" and asked["lr_warmup_steps"]:
        raise ParamsError(
            f"must be 0 with lr_scheduler constant; it is {asked['lr_warmup_steps']}; choose "
            "constant_with_warmup"
        )
    return {}


def _check_output(asked: Mapping[str, Any], site: Site | None) -> Mapping[str, Any]:
    output = asked["output"]
    if output.startswith("s3://"):
        check_s3(output)
    elif "://" in output:
        raise ParamsError(f"must be s3://bucket/prefix or a folder below {ROOTS}")
    if site is None:
        return {}
    output = require_below_roots(output, site.roots)
    if not output.startswith("s3://"):
        _require_folder(Path(output))
    return {"output": output}


def _require_folder(path: Path) -> None:
    """Refuse a path that is no folder and cannot become one, before a training has nowhere to go."""
    for part in (path, *path.parents):
        try:
            if part.is_dir():
                return
            is_there = part.exists()
        except OSError as error:
            raise ParamsError(f"cannot be a folder: {error.strerror}; choose another") from None
        if is_there:
            raise ParamsError("is a file or lies below one; choose a folder")


def _check_webhook(asked: Mapping[str, Any], site: Site | None) -> Mapping[str, Any]:
    if asked["webhook"] is None:
        return {}
    _endpoint(asked["webhook"], site)
    if site is not None and not site.has_webhook_secret:
        raise ParamsError(
            f"this server has no secret to sign with; its operator sets {WEBHOOK_SECRET}, or leave "
            "webhook out"
        )
    return {}


def _endpoint(url: str, site: Site | None) -> Endpoint:
    # Which hosts may be private only the server knows.
    return parse_any_endpoint(url) if site is None else parse_endpoint(url, site.hosts)


def _check_profile(site: Site, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    profile = asked["profile"]
    if profile not in (known := list_profiles(site.repository / "conf")):
        near = difflib.get_close_matches(profile, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ParamsError(f"there is no {profile!r}; {hint}")
    return {}


def _check_widths(site: Site, asked: Mapping[str, Any], profile: dict[str, Any]) -> None:
    num_blocks = asked["num_blocks"]
    if num_blocks is None:
        return
    widths = adapted_widths(site.repository, profile["base"])
    if any(width % num_blocks for width in widths):
        shared = math.gcd(*widths)
        fitting = [str(size) for size in range(1, shared + 1) if shared % size == 0]
        raise ParamsError(
            f"must divide the widths of all adapted layers, {', '.join(map(str, widths))}; it is "
            f"{num_blocks}; possible: {', '.join(fitting)}"
        )


def _check_adapter(asked: Mapping[str, Any], profile: dict[str, Any]) -> None:
    fitting = [
        name for name, own in profile["adapters"].items() if not METHODS[own["method"]].needs_condition
    ]
    if asked["adapter"] not in fitting:
        raise ParamsError(
            f"must be one of those of profile {asked['profile']!r} that can learn a subject, "
            f"{', '.join(fitting)}; it is {asked['adapter']!r}"
        )


def _check_taken(setting: str, lack: str, asked: Mapping[str, Any], profile: dict[str, Any]) -> None:
    """Refuse a setting that the method of the adapter asked for does not have; ``lack`` says so in words."""
    adapters, chosen = profile["adapters"], asked["adapter"]
    able = [name for name, own in adapters.items() if setting in METHODS[own["method"]].settings.model_fields]
    if asked[setting] and chosen in adapters and chosen not in able:
        raise ParamsError(
            f"{chosen} {lack}; leave it out, or choose one of {', '.join(able)} as adapter; it is "
            f"{asked[setting]}"
        )


def _check_steps(asked: Mapping[str, Any], profile: dict[str, Any]) -> None:
    steps = asked["max_train_steps"] or share_training(profile)["train_subject"]["max_train_steps"]
    if (warmup := asked["lr_warmup_steps"]) is not None and warmup >= steps:
        raise ParamsError(f"must be below the training's steps, {steps}; it is {warmup}; make it smaller")


def _describe_fault(fault: Any) -> str:
    """Return pydantic's fault as key, rule and value."""
    key = ".".join(_short(str(part)) for part in fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(fault["loc"][-1]), TrainingRequest.model_fields, n=1)
            return f"{key}: unknown key; " + (f"did you mean {near[0]!r}?" if near else "remove it")
        case "missing":
            return f"{key}: missing; {TrainingRequest.model_fields[key].description}"
        case "value_error":
            return f"{key}: {fault['ctx']['error']}"
    rule = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{key}: {rule}" if key in ADDRESSES else f"{key}: {rule}; it is {_short(repr(fault['input']))}"


def _short(text: str) -> str:
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= MAX_SHOWN_CHARS else f"{shown[: MAX_SHOWN_CHARS - 1]}…"
