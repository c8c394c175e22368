"""How every stage begins and ends: faults, exit status, telemetry and, when asked for, a warm start."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from oft.errors import UserError
from oft.storage import file_lock, write_json
from stages.launch import paths

WARM = "OFT_WARM"
DRY_RUN = "--dry-run"
STARTED = "OFT_WARM_CLIENT_STARTED"
IMPORTED = time.monotonic()
INTERRUPTED = 130  # 128 + SIGINT, as shells report Ctrl-C


def run(
    main: Callable[[list[str]], None], arguments: list[str], *, heavy: bool = False, name: str | None = None
) -> None:
    """Run the stage ``main`` and end this process as it ended.

    A fault of the user's (``UserError``) or a full GPU ends it with status 1 and a message alone, Ctrl-C with
    130; all else that is raised keeps its traceback. A stage that passes leaves ``.telemetry/<name>.json``.

    Args:
        main: what the stage does.
        arguments: what it is given, without the program's name.
        heavy: the stage imports torch, so it starts warm (see stages/launch/warm) where the
            environment has OFT_WARM=1.
        name: the stage's name; if left out, that of its script and what it is given:
            ``sample@segm_ade20k-oft-0``.
    """
    module = module_name()
    revision = code_revision()
    name = name or stage_name(module, arguments)
    # Read while torch is imported, here or by a warm server: its warnings, each with twenty frames of C++,
    # would bury the one line that says what to mend.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        if DRY_RUN in arguments:
            main(arguments)  # its parser shows what would be done, and ends this process
        if heavy and os.environ.get(WARM) == "1":
            from stages.launch import warm

            status = warm.run_in_server(module, arguments, child_environment())
            if status is not None:
                warm.exit_with(status)
        process_start = float(os.environ.pop(STARTED, process_started()))
        start = time.monotonic()
        with stage_lock(name):
            main(arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as fault:
        message = message_of(fault, name)
        if message is None:
            raise
        print(message, file=sys.stderr)
        sys.exit(1)
    telemetry = {
        "stage": name,
        "seconds": time.monotonic() - start,
        "python_start_seconds": start - process_start,
        "peak_memory_bytes": peak_memory_bytes(),
        "revision": revision,
    }
    write_json(paths.TELEMETRY / f"{name}.json", telemetry)


def stage_lock(name: str) -> AbstractContextManager[None]:
    """Wait until no other process runs this stage here: where only DVC was killed, its stage may go on.

    Two at once would write over each other's half-made outs and checkpoints. The machines of one training
    (stages/launch/ranks.py) are meant to run it together, and may share the folder.
    """

    def report_wait(pid: str) -> None:
        print(f"{name}: another process runs this stage here (pid {pid}); waiting for its end", flush=True)

    machine = os.environ.get("OFT_TRAIN_NODE_RANK", "0")
    return file_lock(paths.LOCKS / f"{name}.{machine}", report_wait)


def message_of(fault: Exception, name: str) -> str | None:
    """Return what a user is told of a fault in the stage ``name``; None if it is a bug."""
    if isinstance(fault, UserError):
        return str(fault)
    if isinstance(fault, RuntimeError) and out_of_gpu_memory(fault):
        reason = str(fault).partition("\n")[0]
        return (
            f"{name}: the GPU's memory is full ({reason}); make batches "
            "smaller in params.yaml, in training by gradient_accumulation_steps (docs/sd15.md has more)"
        )
    return None


def out_of_gpu_memory(fault: RuntimeError) -> bool:
    """Return whether an error is torch's about a full GPU; a stage that has no torch does not import it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(fault, torch.OutOfMemoryError)


def module_name() -> str:
    """Return the dotted name of the module that Python runs, or the stem of its file if given one."""
    main = sys.modules["__main__"]
    return main.__spec__.name if main.__spec__ is not None else Path(sys.argv[0]).stem


def stage_name(module: str, arguments: list[str]) -> str:
    """Return a stage's name in telemetry: ``stages.sample --task a --shard 0`` is ``sample@a-0``."""
    values = [part.partition("=")[2] if part.startswith("--") else part for part in arguments]
    item = "-".join(value for value in values if value)
    stage = module.rpartition(".")[2]
    return re.sub(r"[^\w@.+-]", "_", f"{stage}@{item}" if item else stage)


def child_environment() -> dict[str, str]:
    """Return this process's environment as the warm child gets it.

    OFT_WARM is left out, so the child runs its stage itself, and so does a stage that it may start in turn.
    """
    environment = {key: value for key, value in os.environ.items() if key != WARM}
    return environment | {STARTED: repr(process_started())}


def process_started() -> float:
    """Return what ``time.monotonic()`` was when this process began (outside Linux: imported this file)."""
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    except FileNotFoundError:
        return IMPORTED
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, counted from the third: see proc(5)
    return time.monotonic() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)


def code_revision() -> str | None:
    """Return the commit of the code, with ``-dirty`` where files differ from it; None outside a git clone."""
    described = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        told = subprocess.run(
            described, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True
        )
    except FileNotFoundError:  # no git
        return None
    return told.stdout.strip() or None


def peak_memory_bytes() -> int:
    """Return the most memory this process, or one that it has waited for, has had resident."""
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whose) * unit_bytes
