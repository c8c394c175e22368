"""PEFT's configuration names a base of the hub, and no other."""

from __future__ import annotations

import pytest

from oft.adapters.bases import hub_reference
from oft.models.hub import is_hub_id

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    "name",
    [
        f"owner/model@{COMMIT}",
        f"owner/model@{COMMIT[:-1]}",
        "owner/model@main",
        "owner/model",
        "miniature",
        f"model@{COMMIT}",
        f"a/b/c@{COMMIT}",
        "miniature merged with the adapter a/b",
        "",
        None,
    ],
)
def test_what_placing_takes_for_the_hubs_is_named(name: str | None) -> None:
    reference = hub_reference(name)
    assert bool(reference) == is_hub_id(name or "")
    if reference:
        assert reference == {"base_model_name_or_path": "owner/model", "revision": COMMIT}
