from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import TaskRunResult
from prefect.client.schemas.sorting import FlowRunSort

from flows.commands import run_dvc
from flows.reproduce.flow import METRICS_ARTIFACT, REPORT_ARTIFACT, TIMELINE_ARTIFACT, reproduce
from flows.reproduce.pages import draw_validation_sheets
from flows.reproduce.views import show_run
from tests.conftest import ROOT
from tests.flows.conftest import CHAIN, MakeRepository
from tests.flows.reproduce.conftest import write_validation

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_every_stage_runs_in_order_once_and_then_none(make_repository: MakeRepository) -> None:
    root = make_repository()
    assert reproduce(root=root) == {"done": 3, "cached": 0}
    assert stages_run(root) == ["first", "second", "third"]
    assert "| metrics | 3 | 0.1235 |" in latest_page(METRICS_ARTIFACT)
    assert all(
        f"| {stage} | done |" in latest_page(TIMELINE_ARTIFACT) for stage in ("first", "second", "third")
    )

    assert reproduce(root=root) == {"done": 0, "cached": 3}
    assert stages_run(root) == ["first", "second", "third"]


def test_the_run_s_page_draws_the_graph_s_edges(
    make_repository: MakeRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each task waits for those of the stages it needs; where pages outlive the run their address is said."""
    with show_run():
        reproduce(root=make_repository())

    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
        tasks = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
        )
    names = {task.id: task.name for task in tasks}
    waited = {
        task.name: {
            names[one.id] for one in task.task_inputs.get("wait_for", ()) if isinstance(one, TaskRunResult)
        }
        for task in tasks
    }
    assert waited == {"first": set(), "second": {"first"}, "third": {"second"}}
    assert "The run's page: http://127.0.0.1:" in capsys.readouterr().out


def test_a_failing_stage_stops_its_consumers_and_says_why(make_repository: MakeRepository) -> None:
    root = make_repository(CHAIN.replace("cat a > b", "echo the reason >&2 && exit 3"))
    state = reproduce(root=root, return_state=True)
    assert state.is_failed()
    assert re.match(r"stage second failed with exit code \d+; its last lines:\n", state.message or "")
    assert "\n  the reason\n" in (state.message or "")
    assert stages_run(root) == ["first", "second"]


def test_targets_run_with_their_dependencies_and_nothing_else(make_repository: MakeRepository) -> None:
    root = make_repository()
    assert reproduce(targets=["second"], root=root) == {"done": 2, "cached": 0}
    assert stages_run(root) == ["first", "second"]


def test_an_unknown_target_fails_before_anything_runs(make_repository: MakeRepository) -> None:
    root = make_repository()
    state = reproduce(targets=["secnod"], root=root, return_state=True)
    assert state.is_failed()
    assert state.message == "dvc.yaml has no stage 'secnod'; near it: second"
    assert stages_run(root) == []


def test_the_report_its_grids_and_what_metrics_changed_are_pages_of_the_run(
    make_repository: MakeRepository,
) -> None:
    report = """
  report:
    cmd: mkdir -p report/grids && cp c report/index.html && cp source.txt report/grids/canny_coco.png
    deps: [c, source.txt]
    outs: [report]
"""
    root = make_repository(CHAIN + report)
    assert reproduce(root=root) == {"done": 4, "cached": 0}
    assert (root / "report/index.html").as_uri() in latest_page(REPORT_ARTIFACT)
    assert base64.b64encode(b"source").decode() in latest_page("grid-canny-coco")
    (root / "dvc.yaml").write_text((CHAIN + report).replace('"size": 3', '"size": 5'))
    assert reproduce(root=root) == {"done": 1, "cached": 3}
    assert "| metrics | 5 (+2) | 0.1235 |" in latest_page(METRICS_ARTIFACT)


def test_what_trainings_drew_is_shown_also_where_every_stage_was_cached_or_one_failed(
    make_repository: MakeRepository,
) -> None:
    root = make_repository()
    assert reproduce(root=root) == {"done": 3, "cached": 0}
    (root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    write_validation(root / "runs/canny_coco/oft", (10, 20))
    assert reproduce(root=root) == {"done": 0, "cached": 3}
    shown = latest_page("validation-canny-coco-oft")
    assert shown == draw_validation_sheets(root)["canny_coco-oft"]

    write_validation(root / "runs/segm_ade20k/oft", (10,))
    (root / "dvc.yaml").write_text(CHAIN.replace("cat a > b", "exit 3"))
    assert reproduce(root=root, return_state=True).is_failed()
    assert latest_page("validation-segm-ade20k-oft").startswith("data:image/jpeg;base64,")


def test_an_out_changed_behind_dvcs_back_fails_the_gate(make_repository: MakeRepository) -> None:
    root = make_repository(CHAIN.replace("cat b > c", "cat b > c && rm a && echo changed > a"))
    state = reproduce(root=root, return_state=True)
    assert state.is_failed()
    assert "DVC finds these changed since:\n  first: " in (state.message or "")


def test_pulled_results_are_restored_instead_of_made(make_repository: MakeRepository) -> None:
    root = make_repository()
    remote = root.parent / f"{root.name}-remote"
    for command in (
        ["remote", "add", "--default", "shared", str(remote)],
        ["repro"],
        ["push", "--run-cache"],
    ):
        assert run_dvc(command, root=root, log=print).exit_code == 0
    shutil.rmtree(root / ".dvc" / "cache")
    for out in (*"abc", "metrics.json"):
        (root / out).unlink()

    assert reproduce(pull=True, root=root) == {"done": 0, "cached": 3}
    assert (root / "c").read_text() == "one\n"


def stages_run(root: Path) -> list[str]:
    """The stages that really ran in ``root``, in order."""
    log = root / "ran.txt"
    return log.read_text().split() if log.exists() else []


def latest_page(key: str) -> str:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        page, *_ = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            sort=ArtifactSort.UPDATED_DESC,
        )
    return str(page.data)
