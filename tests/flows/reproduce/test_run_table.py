from __future__ import annotations

from flows.reproduce.run_table import RunTable, StageRow, Status, overlaps


def test_a_row_remembers_when_its_stage_began_and_ended() -> None:
    seen: list[tuple[str, Status]] = []
    table = RunTable(["a", "b"], lambda row: seen.append((row.stage, row.status)))
    table.begin("a")
    table.note("a", "next attempt in 2 s")
    assert table.rows[0].note and table.rows[0].status is Status.RUNNING
    table.end("a", Status.DONE)
    table.end("b", Status.CACHED)
    a, b = table.rows
    assert a.began is not None and a.ended is not None and a.ended >= a.began and a.note == ""
    assert a.seconds(table.now()) == a.ended - a.began
    assert b.began is b.ended is None and b.seconds(table.now()) is None
    assert table.counts() == {Status.DONE: 1, Status.CACHED: 1}
    assert seen[0] == ("a", Status.RUNNING) and seen[-1] == ("b", Status.CACHED)


def test_overlap_is_the_time_two_or_more_ran_at_once() -> None:
    rows = [
        StageRow("a", Status.DONE, 0.0, 10.0),
        StageRow("b", Status.DONE, 4.0, 6.0),
        StageRow("c", Status.DONE, 5.0, 8.0),
        StageRow("d", Status.DONE, 20.0, 21.0),
        StageRow("e", Status.WAITING),
    ]
    assert overlaps(rows) == 4.0
    assert overlaps(rows[3:]) == 0.0
