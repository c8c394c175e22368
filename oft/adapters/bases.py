"""The base an adapter belongs to, as PEFT's configuration names it."""

from __future__ import annotations

import re

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_reference(base_name: str | None) -> dict[str, str]:
    """Return the entries of PEFT's configuration that name a base of the Hugging Face hub; none for others.

    ``AutoPeftModel`` loads it, and the hub shows the adapter with its base.

    Args:
        base_name: where the base came from; of the hub, ``owner/name@commit``.
    """
    repository, _, commit = (base_name or "").partition("@")
    if repository.count("/") != 1 or COMMIT.fullmatch(commit) is None:
        return {}
    return {"base_model_name_or_path": repository, "revision": commit}
