"""The flows: new data start a retraining, the same data do not."""

from __future__ import annotations

import pytest
from PIL import Image
from prefect.client.orchestration import get_client

from flows.retraining.flow import DECISION_ARTIFACT, retrain, watch

from .conftest import Person

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_new_data_are_trained_on_and_the_same_are_not(person: Person) -> None:
    before = person.state()

    first = watch(str(person.root), return_state=True)
    assert first.is_completed(), first.message
    assert "promoted/1: promoted against the base alone" in (first.message or "")
    assert latest_decision().startswith("**promoted/1: promoted against the base alone**")

    assert watch(str(person.root), return_state=True).message == "nothing has changed"
    assert retrain(str(person.root), return_state=True).message == "nothing has changed since promoted/1"
    assert person.tags() == ["promoted/1"]

    inbox = person.root.parent / "inbox"
    inbox.mkdir()
    inboxes = {"photos": str(inbox)}
    assert watch(str(person.root), inboxes=inboxes, return_state=True).message == "nothing has changed"
    Image.new("RGB", (8, 8)).save(inbox / "new.png")
    growing = watch(str(person.root), inboxes=inboxes, return_state=True).message
    assert growing == "nothing has changed; 1 files of inboxes still grow"
    arrived = watch(str(person.root), inboxes=inboxes, settle_seconds=0, return_state=True)
    assert "new data for acquire@photos: rejected/2: rejected against promoted/1" in (arrived.message or "")
    assert person.tags() == ["promoted/1", "rejected/2"]
    assert person.state() == before


def test_a_users_fault_fails_the_flow_and_is_not_tried_again_by_itself(person: Person) -> None:
    (person.data / "learn.txt").write_text("nonsense\n", encoding="utf-8")
    failed = watch(str(person.root), return_state=True)
    assert failed.is_failed()
    assert "stage evaluate@canny_photos-oft failed" in (failed.message or "")
    assert person.tags() == []
    again = watch(str(person.root), return_state=True)
    assert again.is_completed()
    assert "the last retraining on these data failed" in (again.message or "")


def latest_decision() -> str:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        page, *_ = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[DECISION_ARTIFACT])),
            sort=ArtifactSort.UPDATED_DESC,
        )
    return str(page.data)
