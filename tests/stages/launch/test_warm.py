"""A stage started warm is the stage started cold: same output, status, environment, signals and results."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import textwrap
from pathlib import Path

import pytest

from tests.processes import is_running
from tests.stages.conftest import Start, finish, read_number, wait_until


def write_job(folder: Path, body: str) -> None:
    """Write job.py, whose ``main(arguments)`` has ``body``."""
    text = "import os, sys, time\nfrom stages.launch.entry import run\ndef main(arguments):\n"
    text += textwrap.indent(textwrap.dedent(body), "    ")
    (folder / "job.py").write_text(
        text + '\nif __name__ == "__main__":\n    run(main, sys.argv[1:], heavy=True)\n'
    )


def test_streams_status_and_arguments_pass_through(folder: Path, start: Start) -> None:
    write_job(
        folder,
        """
        print(arguments, sys.argv[1:], sys.stdin.read())
        print("to stderr", file=sys.stderr)
        print("__main__" == __name__, sys.modules["__main__"].__spec__.name)
        sys.exit(7)
        """,
    )
    expected = (7, "['--task', 'é b'] ['--task', 'é b'] typed\nTrue job\n", "to stderr\n")
    assert finish(start("--task", "é b"), "typed") == expected
    assert finish(start("--task", "é b", OFT_WARM=""), "typed") == expected


def test_the_child_is_a_fork_of_a_server_that_never_imports_the_project(folder: Path, start: Start) -> None:
    (folder / "colorsys.py").write_text("raise SystemExit('the server imported from the project')")
    write_job(
        folder,
        """
        import threading
        print(os.getppid(), os.getpgid(0) == os.getpid(), threading.active_count(), "colorsys" in sys.modules)
        """,
    )
    status, output, errors = finish(start())
    server, *facts = output.split()
    assert (status, errors, facts) == (0, "", ["True", "1", "True"])
    assert is_running(int(server)) and int(server) != os.getpid()
    assert (folder / ".warm").stat().st_mode & 0o777 == 0o700


def test_environment_folder_and_umask_are_the_clients(folder: Path, start: Start) -> None:
    write_job(
        folder,
        """
        print(os.getcwd(), os.environ.get("DVC_STAGE"), os.environ.get("PREFECT_LOCAL"), oct(os.umask(0)))
        print(sorted(name for name in os.environ if name.startswith("OFT_WARM_CLIENT")), sys.path[0])
        """,
    )
    assert finish(start(DVC_STAGE="one", PREFECT_LOCAL="two"))[0] == 0
    usual = os.umask(0o027)
    try:
        job = start(DVC_STAGE="three")
    finally:
        os.umask(usual)
    assert finish(job) == (0, f"{folder} three None 0o27\n[] {folder}\n", "")


def test_an_edit_of_the_project_takes_effect_at_once(folder: Path, start: Start) -> None:
    write_job(folder, "import part; print(os.getppid(), part.VALUE)")
    (folder / "part.py").write_text("VALUE = 'before'")
    server, value = finish(start())[1].split()
    (folder / "part.py").write_text("VALUE = 'and after'")
    assert value == "before"
    assert finish(start())[1].split() == [server, "and", "after"]


def test_clients_at_once_share_one_server_and_other_libraries_get_another(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid(), flush=True); sys.stdin.read()")
    jobs = [start(str(number)) for number in range(4)]
    servers = {read_number(job) for job in jobs}  # all four run at once: none has been given its input
    assert [finish(job)[0] for job in jobs] == [0, 0, 0, 0]
    assert len(servers) == 1
    other = start(OMP_NUM_THREADS="3")
    assert read_number(other) not in servers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_child_and_its_answer_comes_back(
    folder: Path, start: Start, number: signal.Signals
) -> None:
    write_job(
        folder,
        """
        import signal
        def leave(number, frame):
            print("asked to leave by", number, flush=True)
            sys.exit(40 + number)
        signal.signal(int(arguments[0]), leave)
        print(1, flush=True)
        time.sleep(600)
        """,
    )
    job = start(str(int(number)))
    read_number(job)
    job.send_signal(number)
    assert finish(job) == (40 + number, f"asked to leave by {int(number)}\n", "")


def test_the_client_dies_of_what_its_child_died_of(folder: Path, start: Start) -> None:
    write_job(folder, "os.kill(os.getpid(), int(arguments[0]))")
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
        assert finish(start(str(int(number)))) == (-number, "", "")


def test_ctrl_c_ends_with_130_and_no_traceback(folder: Path, start: Start) -> None:
    write_job(folder, "print(1, flush=True); time.sleep(600)")
    job = start()
    read_number(job)
    os.killpg(job.pid, signal.SIGINT)
    assert finish(job) == (130, "", "")


def test_killing_the_client_kills_the_child_and_its_children(folder: Path, start: Start) -> None:
    write_job(
        folder,
        """
        import signal, subprocess
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        other = subprocess.Popen(["sleep", "600"])
        print(os.getpid(), other.pid, sep="\\n", flush=True)
        time.sleep(600)
        """,
    )
    job = start()
    family = [read_number(job), read_number(job)]
    assert all(map(is_running, family))
    job.kill()
    wait_until(lambda: not any(map(is_running, family)))


def test_killing_the_server_ends_the_stage_with_a_reason(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid(), os.getpid(), sep='\\n', flush=True); time.sleep(600)")
    job = start()
    server, child = read_number(job), read_number(job)
    os.kill(server, signal.SIGKILL)
    status, _, errors = finish(job)
    # As a stage that started cold would have ended: whoever reads that tries again.
    assert (status, errors) == (
        -signal.SIGKILL,
        "The warm server was killed, so the stage it ran was ended.\n",
    )
    wait_until(lambda: not is_running(child))
    replaced = start()
    assert read_number(replaced) != server


def test_a_traceback_and_a_missing_module_end_with_status_one(folder: Path, start: Start) -> None:
    write_job(folder, "raise RuntimeError('a fault of ours')")
    status, _, errors = finish(start())
    assert status == 1 and "Traceback" in errors and errors.endswith("RuntimeError: a fault of ours\n")


def test_what_runs_at_exit_runs_and_threads_are_waited_for(folder: Path, start: Start) -> None:
    write_job(
        folder,
        """
        import atexit, ctypes, threading
        atexit.register(print, "at exit")
        threading.Timer(0.1, print, ["thread"]).start()
        ctypes.CDLL(None).puts(b"from C")
        sys.exit(arguments[0] if arguments else None)
        """,
    )
    assert sorted(finish(start())[1].splitlines()) == ["at exit", "from C", "thread"]
    status, output, errors = finish(start("a reason"))
    assert (status, errors) == (1, "a reason\n") and "thread\nat exit\n" in output


def test_an_idle_server_leaves_and_takes_its_socket_along(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid())")
    server = int(finish(start(OFT_WARM_IDLE_SECONDS="0.1"))[1])
    wait_until(lambda: not is_running(server))
    assert sorted(path.name for path in (folder / ".warm").iterdir()) == ["lock", "log"]


def test_a_server_leaves_with_its_folder(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid())")
    server = int(finish(start())[1])
    shutil.rmtree(folder / ".warm")
    wait_until(lambda: not is_running(server))


def test_a_dead_socket_is_replaced(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid())")
    server = int(finish(start())[1])
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: not is_running(server))
    status, output, errors = finish(start())
    assert (status, errors) == (0, "") and int(output) != server


def test_a_server_that_cannot_import_leaves_a_cold_start_and_one_line(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid() == int(arguments[0]), 'OFT_WARM_CLIENT_STARTED' in os.environ)")
    status, output, errors = finish(start(str(os.getpid()), OFT_WARM_LIBRARIES="no_such_library"))
    assert (status, output) == (0, "True False\n")
    assert errors.startswith("No warm start (") and errors.count("\n") == 1
    assert "No module named 'no_such_library'" in (folder / ".warm/log").read_text()


def test_a_folder_that_others_may_enter_is_refused(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid() == int(arguments[0]))")
    (folder / ".warm").mkdir()
    (folder / ".warm").chmod(0o755)
    status, output, errors = finish(start(str(os.getpid())))
    assert (status, output) == (0, "True\n")
    assert "only you can enter" in errors and errors.count("\n") == 1


def test_a_server_survives_clients_that_talk_nonsense(folder: Path, start: Start) -> None:
    write_job(folder, "print(os.getppid())")
    server = finish(start())[1]
    (path,) = (path for path in (folder / ".warm").iterdir() if path.is_socket())
    for message in (b"", b"nonsense\n", b"{}\n", b'["list"]\n'):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.path.relpath(path))
            client.sendall(message)
    assert finish(start())[1] == server


def test_torch_gives_the_same_bits_warm_and_cold(folder: Path, start: Start) -> None:
    write_job(
        folder,
        """
        import hashlib, torch
        import numpy as np
        torch.manual_seed(0)
        image = torch.randn(4, 8, 32, 32, requires_grad=True)
        convolution, linear = torch.nn.Conv2d(8, 16, 3), torch.nn.Linear(900, 64)
        loss = torch.softmax(linear(convolution(image).flatten(2)), -1).square().sum()
        loss.backward()
        matrix = torch.randn(70, 70)
        results = [loss, image.grad, torch.linalg.svd(matrix)[1], matrix @ matrix]
        large = np.random.default_rng(0).standard_normal((300, 300), np.float32)
        results += map(torch.from_numpy, [large @ large, np.linalg.svd(large)[1]])
        digest = hashlib.sha256(b"".join(result.detach().numpy().tobytes() for result in results))
        print(digest.hexdigest(), torch.get_num_threads(), torch.initial_seed())
        """,
    )
    cold = start(
        "cold", OFT_WARM="", OMP_NUM_THREADS="2"
    )  # both at once, and with threads of OpenBLAS and OpenMP
    warm = start(OFT_WARM_LIBRARIES="torch numpy", OMP_NUM_THREADS="2")
    status, output, errors = finish(warm)
    assert (status, output, errors) == finish(cold)
    assert (status, output.split()[1]) == (0, "2")
