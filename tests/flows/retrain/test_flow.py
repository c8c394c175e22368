"""The flows: new data start a retraining, the same data do not."""

from __future__ import annotations

import pytest
from PIL import Image
from prefect.client.orchestration import get_client

from flows.reproduce.workspace import LOCKFILE
from flows.retrain.decision import AGAINST_BASE, Decision
from flows.retrain.flow import DECISION_ARTIFACT, retrain, watch
from flows.retrain.judging import write_lockfile
from flows.retrain.promotion import reject
from flows.retrain.run import scan_sources
from flows.retrain.settings import SETTLE_SECONDS
from flows.retrain.workspace import retrain_lock

from .conftest import Person

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_new_data_are_trained_on_and_the_same_are_not(person: Person) -> None:
    before = person.state()
    remember(person)
    inbox = person.root.parent / "inbox"
    inbox.mkdir()

    def watch_it(settle_seconds: float = SETTLE_SECONDS) -> str | None:
        state = watch(
            str(person.root),
            inboxes={"photos": str(inbox)},
            settle_seconds=settle_seconds,
            return_state=True,
        )
        assert state.is_completed(), state.message
        return state.message

    assert watch_it() == "nothing has changed"
    assert retrain(str(person.root), return_state=True).message == "nothing has changed since rejected/1"

    Image.new("RGB", (8, 8)).save(inbox / "new.png")
    assert watch_it() == "nothing has changed; 1 files of inboxes still grow"
    assert person.tags() == ["rejected/1"]

    title = "promoted/2: promoted against the base alone"
    assert f"new data for acquire@photos: {title}" in (watch_it(settle_seconds=0) or "")
    assert person.tags() == ["canny-photos-oft@v2.0.0", "promoted/2", "rejected/1"]
    assert latest_decision().startswith(f"**{title}**")
    assert watch_it() == "nothing has changed"
    assert person.state() == before


def test_a_user_error_fails_the_flow_with_the_reason(person: Person) -> None:
    state = watch(str(person.root), revision="mian", return_state=True)
    assert state.is_failed()
    assert "revision 'mian' is no branch, tag or commit of the source" in (state.message or "")


def remember(person: Person) -> None:
    """Leave the decision of a candidate that was trained on what lies there now."""
    settings = person.settings()
    with retrain_lock(settings.folder, print):
        found = scan_sources(settings, print)
        write_lockfile(settings.clone / LOCKFILE, {})
        reject(settings, Decision(1, "rejected", 1, "noise", AGAINST_BASE, found.commit, found.sources))


def latest_decision() -> str:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        page, *_ = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[DECISION_ARTIFACT])),
            sort=ArtifactSort.UPDATED_DESC,
        )
    return str(page.data)
