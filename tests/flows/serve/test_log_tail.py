from __future__ import annotations

from pathlib import Path

from flows.serve.log_tail import LogTail


def test_new_lines_come_once_whole_and_without_tracebacks(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    with path.open() as file, path.open("a") as writer:
        log = LogTail(file)

        def write(text: str) -> list[str]:
            writer.write(text)
            writer.flush()
            return list(log.new_lines())

        assert write("one\n\ntw") == ["one"]
        assert write("o\nTraceback (most recent call last):\n  File 1\n") == ["two"]
        assert write("    ^^^\nFailedRun: stage failed; its last lines:\n  the reason\n") == [
            "FailedRun: stage failed; its last lines:",
            "  the reason",
        ]
        assert write("") == []
