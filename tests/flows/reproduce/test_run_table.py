from __future__ import annotations

from flows.reproduce.run_table import Board, Row, Standing, overlaps


def test_a_row_remembers_when_its_stage_began_and_ended() -> None:
    seen: list[tuple[str, Standing]] = []
    board = Board(["a", "b"], lambda row: seen.append((row.stage, row.standing)))
    board.begin("a")
    board.remark("a", "next attempt in 2 s")
    assert board.rows[0].note and board.rows[0].standing is Standing.RUNNING
    board.end("a", Standing.DONE)
    board.end("b", Standing.CACHED)
    a, b = board.rows
    assert a.began is not None and a.ended is not None and a.ended >= a.began and a.note == ""
    assert a.seconds(board.now()) == a.ended - a.began
    assert b.began is b.ended is None and b.seconds(board.now()) is None
    assert board.counts() == {Standing.DONE: 1, Standing.CACHED: 1}
    assert seen[0] == ("a", Standing.RUNNING) and seen[-1] == ("b", Standing.CACHED)


def test_overlap_is_the_time_two_or_more_ran_at_once() -> None:
    rows = [
        Row("a", Standing.DONE, 0.0, 10.0),
        Row("b", Standing.DONE, 4.0, 6.0),
        Row("c", Standing.DONE, 5.0, 8.0),
        Row("d", Standing.DONE, 20.0, 21.0),
        Row("e", Standing.WAITING),
    ]
    assert overlaps(rows) == 4.0
    assert overlaps(rows[3:]) == 0.0
