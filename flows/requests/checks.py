"""Rules of a request beyond one parameter's type: what fits together, and what this server allows."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.requests.addresses import (
    Endpoint,
    check_s3,
    parse_any_endpoint,
    parse_endpoint,
    require_below_roots,
)
from flows.requests.site import ROOTS, WEBHOOK_SECRET, Site
from flows.requests.widths import adapted_widths
from oft.acquire.archives import is_archive
from oft.adapters.registry import METHODS
from oft.errors import ParamsError, UserError
from oft.profiles import compose_profile, list_profiles
from oft.settings.training import share_training

if TYPE_CHECKING:
    from flows.requests.kinds.common import CommonRequest

Asked = Mapping[str, Any]
Rule = Callable[[Asked], Asked]
"""Takes the parameters and returns those that it resolves, addresses in full; refuses by a `UserError`."""
Check = tuple[set[str], Rule]
"""The parameters that a rule needs, and the rule."""
ProfileRule = Callable[[Asked, dict[str, Any]], None]


def common_checks(kind: type[CommonRequest], site: Site | None) -> Iterator[Check]:
    """Yield the checks that requests of all kinds share.

    Args:
        site: what the server allows; None skips the checks that depend on it.
    """
    for key in kind.sources:
        yield {key}, keyed(key, partial(_check_images, key, site))
    yield {"lr_scheduler", "lr_warmup_steps"}, keyed("lr_warmup_steps", _check_warmup)
    yield {"output"}, keyed("output", lambda asked: _check_output(asked, site))
    yield {"webhook"}, keyed("webhook", lambda asked: _check_webhook(asked, site))
    if site is not None:
        yield {"profile"}, keyed("profile", partial(_check_profile, site))
        profile = cache(partial(compose_profile, site.repository / "conf"))
        yield from _profile_checks(kind, site, profile)


def keyed(key: str, rule: Rule) -> Rule:
    """Return the rule, its refusals behind the name of a parameter."""

    def named(asked: Asked) -> Asked:
        try:
            return rule(asked)
        except UserError as error:
            raise ParamsError(f"{key}: {error}") from None

    return named


def _profile_checks(
    kind: type[CommonRequest], site: Site, profile: Callable[[str], dict[str, Any]]
) -> Iterator[Check]:
    """Yield the checks against the settings of the profile, which ``profile`` composes by its name."""
    rules: tuple[tuple[str, ProfileRule, set[str]], ...] = (
        ("num_blocks", partial(_check_widths, site), {"num_blocks"}),
        ("adapter", partial(_check_adapter, kind), {"adapter"}),
        ("num_blocks", partial(_check_taken, "num_blocks", "has no blocks"), {"adapter", "num_blocks"}),
        (
            "train_text_encoder",
            partial(_check_taken, "train_text_encoder", "does not train it"),
            {"adapter", "train_text_encoder"},
        ),
        ("lr_warmup_steps", partial(_check_steps, kind), {"max_train_steps", "lr_warmup_steps"}),
    )
    for key, rule, needed in rules:
        yield needed | {"profile"}, keyed(key, partial(_check_composed, rule, site, profile))


def _check_composed(
    rule: ProfileRule, site: Site, profile: Callable[[str], dict[str, Any]], asked: Asked
) -> Asked:
    if asked["profile"] in list_profiles(site.repository / "conf"):  # else it is said already
        rule(asked, profile(asked["profile"]))
    return {}


def _check_images(key: str, site: Site | None, asked: Asked) -> Asked:
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


def _check_warmup(asked: Asked) -> Asked:
    if asked["lr_scheduler"] == "constant" and asked["lr_warmup_steps"]:
        raise ParamsError(
            f"must be 0 with lr_scheduler constant; it is {asked['lr_warmup_steps']}; choose "
            "constant_with_warmup"
        )
    return {}


def _check_output(asked: Asked, site: Site | None) -> Asked:
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


def _check_webhook(asked: Asked, site: Site | None) -> Asked:
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


def _check_profile(site: Site, asked: Asked) -> Asked:
    profile = asked["profile"]
    if profile not in (known := list_profiles(site.repository / "conf")):
        near = difflib.get_close_matches(profile, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ParamsError(f"there is no {profile!r}; {hint}")
    return {}


def _check_widths(site: Site, asked: Asked, profile: dict[str, Any]) -> None:
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


def _check_adapter(kind: type[CommonRequest], asked: Asked, profile: dict[str, Any]) -> None:
    fitting = [name for name, own in profile["adapters"].items() if kind.can_learn(METHODS[own["method"]])]
    if asked["adapter"] not in fitting:
        raise ParamsError(
            f"must be one of those of profile {asked['profile']!r} that can learn {kind.learns}, "
            f"{', '.join(fitting)}; it is {asked['adapter']!r}"
        )


def _check_taken(setting: str, lack: str, asked: Asked, profile: dict[str, Any]) -> None:
    """Refuse a setting that the method of the adapter asked for does not have; ``lack`` says so in words."""
    adapters, chosen = profile["adapters"], asked["adapter"]
    able = [name for name, own in adapters.items() if setting in METHODS[own["method"]].settings.model_fields]
    if asked[setting] and chosen in adapters and chosen not in able:
        raise ParamsError(
            f"{chosen} {lack}; leave it out, or choose one of {', '.join(able)} as adapter; it is "
            f"{asked[setting]}"
        )


def _check_steps(kind: type[CommonRequest], asked: Asked, profile: dict[str, Any]) -> None:
    steps = asked["max_train_steps"] or share_training(profile)[kind.section]["max_train_steps"]
    if (warmup := asked["lr_warmup_steps"]) is not None and warmup >= steps:
        raise ParamsError(f"must be below the training's steps, {steps}; it is {warmup}; make it smaller")
