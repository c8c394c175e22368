from __future__ import annotations

from flows.metrics import collect_rows, flatten, render_metrics

SHOWN = {
    "": {
        "data": {
            "runs/a/oft/metrics.json": {"data": {"miou": 0.123456, "num_images": 8}},
            "data/counts.json": {"data": {"kept": 7, "dropped": {"too_small": 1}, "names": ["x"]}},
            "runs/a/none/metrics.json": {"data": {"miou": 0.5, "num_images": 8}},
            "runs/b/oft/metrics.json": {"error": {"type": "FileNotFoundError", "msg": ""}},
        }
    }
}


def test_nested_metrics_are_joined_by_points_and_lists_left_out() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [1], "e": 2.0}) == {"a.b.c": 1, "e": 2.0}


def test_files_that_are_not_there_are_left_out() -> None:
    assert list(collect_rows(SHOWN)) == [
        "runs/a/oft/metrics.json",
        "data/counts.json",
        "runs/a/none/metrics.json",
    ]


def test_files_with_the_same_metrics_share_a_table() -> None:
    assert render_metrics(collect_rows(SHOWN)) == (
        "| | miou | num_images |\n"
        "| --- | ---: | ---: |\n"
        "| runs/a/oft | 0.1235 | 8 |\n"
        "| runs/a/none | 0.5 | 8 |\n"
        "\n"
        "| | kept | dropped.too_small |\n"
        "| --- | ---: | ---: |\n"
        "| data/counts.json | 7 | 1 |"
    )


def test_a_pipeline_without_metrics_says_so() -> None:
    assert render_metrics(collect_rows({})) == "No metrics yet."
