"""Warm start: a server with the heavy libraries imported forks a process for every stage that asks for one.

Importing torch, diffusers and transformers takes ten seconds of CPU, and DVC starts a process for each stage.
With OFT_WARM=1 that process becomes a thin client:

1. it connects to the server of its own kind (``server_key``), or starts one, over a Unix socket under .warm/;
   the server says ``ready`` once it has imported its libraries;
2. it sends module, arguments, folder, environment and its standard streams; the server forks, the child takes
   all of these on, says ``started PID`` and runs the module as ``python -m`` does;
3. it passes signals on, one byte each; the server answers ``exit STATUS`` when the child has ended, and the
   client ends the same way. If the client dies, however that be, the server kills the child's process group.

The server imports third-party libraries only, with the project out of its reach, so an edit of the project
always takes effect. It does nothing but import: when it forks it has no Python thread, no torch thread and no
CUDA context. The threads that numpy's and scipy's OpenBLAS start on import are stopped by OpenBLAS itself
at a fork, and started again where they are needed.

The server leaves after OFT_WARM_IDLE_SECONDS (120) without a client, and when its libraries or its socket are
changed or removed. Forking after so many imports is known to be safe on Linux alone; elsewhere stages start
cold. So they do, with one line on stderr, if anything goes wrong before the child has started.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import gc
import hashlib
import importlib
import io
import json
import os
import resource
import runpy
import select
import signal
import site
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO

FOLDER = Path(".warm")  # in the current folder, which is the repository's root in every stage DVC runs
LIBRARIES = (
    "torch torch._dynamo accelerate numpy PIL.Image pydantic ruamel.yaml safetensors.torch "
    "transformers:CLIPModel,CLIPTextModel,CLIPTokenizer,ResNetModel,SegformerForSemanticSegmentation "
    "diffusers:AutoencoderKL,StableDiffusionPipeline,UNet2DConditionModel,DDIMScheduler,DDPMScheduler,"
    "DPMSolverMultistepScheduler,EulerDiscreteScheduler,HeunDiscreteScheduler,UniPCMultistepScheduler dvclive"
)
START_SECONDS = 600.0  # how long a client waits for a server to import its libraries, on a crowded machine
SEND_SECONDS = 10.0  # how long a server waits for a client to say what it wants
TICK_SECONDS = 1.0
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
PACKAGE_MARKS = (".dist-info", ".egg-info", ".egg-link", ".pth")

# Variables that differ between stages or shells and that no library reads while it is imported.
PASSING_VARIABLES = ("_", "PWD", "OLDPWD", "SHLVL", "COLUMNS", "LINES", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
PASSING_PREFIXES = ("DVC_", "MAKE_TERM", "OFT_TRAIN_", "OFT_WARM", "PREFECT_", "PYTEST_")


class Job(NamedTuple):
    """What a child must take on to be the process its client would have been."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    path: list[str]
    umask: int
    ignored_signals: list[int]


class Fork(NamedTuple):
    """What the fork of a server holds: its job, the client's standard streams, and the way to the client."""

    job: Job
    streams: list[int]
    connection: socket.socket


# The client


def hand_over(module: str, arguments: list[str], environment: dict[str, str]) -> int | None:
    """Run ``python -m module arguments`` in a child of the warm server, on this process's streams.

    Returns:
        The exit status, negative for the signal that ended the child; None if no child was started, and then
        the reason is on stderr.
    """
    if sys.platform != "linux":
        return None
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(connect_or_start())
            answers = stack.enter_context(connection.makefile(encoding="ascii"))
            expect("ready", answers)
            connection.settimeout(None)
            send_job(connection, describe_job(module, arguments, environment))
            pid = int(expect("started", answers))
        except (OSError, ValueError) as error:
            print(f"No warm start ({error}): starting cold.", file=sys.stderr, flush=True)
            return None
        pass_signals_to(connection)
        try:
            return int(expect("exit", answers))
        except (OSError, ValueError):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            print("The warm server was killed, so the stage it ran was ended.", file=sys.stderr)
            return -signal.SIGKILL


def leave_as(status: int) -> NoReturn:
    """End this process with an exit status, or (negative) by the signal, without a core file of its own."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status if status >= 0 else 128 - status)


def connect_or_start() -> socket.socket:
    """Return a connection to the server of this process's kind, which may still be importing its libraries.

    Raises:
        OSError: there is none and none could be started, or it is not this user's.
        ValueError: this process was not started with ``python -m``.
    """
    if "-m" not in sys.orig_argv:
        raise ValueError("a stage is started as `python -m stages.NAME`")
    flags = sys.orig_argv[1 : sys.orig_argv.index("-m")]
    libraries = os.environ.get("OFT_WARM_LIBRARIES", LIBRARIES)
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    found = FOLDER.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{FOLDER} must be a folder that only you can enter; remove it")
    path = FOLDER / server_key(flags, libraries)
    with lock():
        try:
            return connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            # The client binds: it can connect at once, and two of them never start two servers.
            listener.bind(str(path))
            listener.listen(socket.SOMAXCONN)
            start_server(listener, [sys.executable, *flags, "-P", __file__, str(path), libraries])
        return connect(path)


def connect(path: Path) -> socket.socket:
    """Return a connection to the server that listens at ``path``."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(START_SECONDS)
        connection.connect(str(path))
        refuse_strangers(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def start_server(listener: socket.socket, command: list[str]) -> None:
    """Start a server that outlives this process; its standard input is the socket it listens at."""
    with (FOLDER / "log").open("ab") as log:
        server = subprocess.Popen(
            command, stdin=listener.fileno(), stdout=log, stderr=log, start_new_session=True
        )
    server.returncode = 0  # nobody waits for it, and Popen must not warn of that


def server_key(flags: list[str], libraries: str) -> str:
    """Return a name for all processes for which a fork of one server is what a cold start would have been."""
    kept = (
        (name, value)
        for name, value in os.environ.items()
        if name not in PASSING_VARIABLES and not name.startswith(PASSING_PREFIXES)
    )
    limits = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    namespaces = Path("/proc/self/ns")
    facts = [
        [sys.executable, sys.version, flags, libraries, installed()],
        sorted(kept),
        sorted(os.sched_getaffinity(0)),
        [resource.getrlimit(getattr(resource, name)) for name in limits],
        [os.getpriority(os.PRIO_PROCESS, 0), os.geteuid(), os.getegid(), sorted(os.getgroups())],
        [os.uname().nodename, Path("/proc/self/cgroup").read_text()],
        sorted(os.readlink(space) for space in namespaces.iterdir()),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def installed() -> list[tuple[str, int]]:
    """Return what changes when the interpreter, an installed package or this file does."""
    folders = filter(Path.is_dir, map(Path, [*site.getsitepackages(), site.getusersitepackages()]))
    packages = (entry for folder in folders for entry in folder.iterdir() if entry.suffix in PACKAGE_MARKS)
    files = [Path(sys.executable), Path(__file__), *sorted(packages)]
    return [(str(file), file.stat().st_mtime_ns) for file in files]


def describe_job(module: str, arguments: list[str], environment: dict[str, str]) -> Job:
    """Return what a child needs to know of this process."""
    umask = os.umask(0o077)
    os.umask(umask)
    ignored = [int(number) for number in PASSED_ON if signal.getsignal(number) is signal.SIG_IGN]
    return Job(module, arguments, str(Path.cwd()), environment, sys.path, umask, ignored)


def send_job(connection: socket.socket, job: Job) -> None:
    """Send ``job`` as one line of JSON, and the standard streams with its first bytes."""
    message = json.dumps(job._asdict()).encode() + b"\n"
    sent = socket.send_fds(connection, [message], [0, 1, 2])
    connection.sendall(message[sent:])


def pass_signals_to(connection: socket.socket) -> None:
    """Send the number of every signal of ``PASSED_ON`` that comes, instead of obeying it."""

    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(bytes([number]))

    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)


def expect(word: str, answers: TextIO) -> str:
    """Return what follows ``word`` in the server's next line.

    Raises:
        OSError: another line came, or none in time.
    """
    line = answers.readline()
    found, _, value = line.strip().partition(" ")
    if found != word:
        raise ConnectionError(f"the server said {line!r}, not {word}; its log is {FOLDER / 'log'}")
    return value


# Both sides


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Hold the folder's lock: servers come and go, and clients look for them, one at a time."""
    with (FOLDER / "lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def refuse_strangers(connection: socket.socket) -> None:
    """Raise PermissionError unless the process at the other end is this user's."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, user, _group = struct.unpack("3i", credentials)
    if user != os.geteuid():
        raise PermissionError(f"user {user} is at the other end of {FOLDER}")


# The server


def import_libraries(names: str) -> None:
    """Import modules; of those written ``module:A,B`` the attributes too, which lazy packages load then."""
    # diffusers asks for a GPU while it is imported; NVML answers without the CUDA context no fork survives.
    asked = os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK")
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    for name in names.split():
        module, _, attributes = name.partition(":")
        imported = importlib.import_module(module)
        for attribute in filter(None, attributes.split(",")):
            getattr(imported, attribute)
    del os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"]
    if asked is not None:
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = asked
    if threading.active_count() > 1:
        raise RuntimeError(f"importing left threads, which a fork would lose: {threading.enumerate()}")


def serve(listener: socket.socket, path: Path, idle_seconds: float) -> Fork | None:
    """Answer clients until there is reason to leave. Returns None then, and in every child its fork."""
    socket_file, libraries = path.stat(), installed()
    children: dict[int, socket.socket | None] = {}
    busy = time.monotonic()
    with listener, watch_children() as ended:
        while True:
            clients = [client for client in children.values() if client is not None]
            readable, _, _ = select.select([listener, ended, *clients], [], [], TICK_SECONDS)
            if ended in readable:
                ended.recv(4096)
            for pid, client in children.items():
                if client is not None and client in readable:
                    children[pid] = obey(client, pid)
            while children and (found := os.waitpid(-1, os.WNOHANG))[0]:
                report(children.pop(found[0], None), found[1])
            if listener in readable and (fork := accept(listener)) is not None:
                try:
                    pid = os.fork()
                except OSError as error:
                    print(f"no child for {fork.job.module}: {error}", flush=True)
                    close_all([*fork.streams, fork.connection.detach()])
                    continue
                if pid == 0:
                    for client in filter(None, children.values()):
                        client.close()
                    return fork
                children[pid] = fork.connection
                close_all(fork.streams)
                with contextlib.suppress(OSError):  # the child does it too: whoever comes first
                    os.setpgid(pid, pid)
            if children or listener in readable:
                busy = time.monotonic()
            elif time.monotonic() - busy > idle_seconds or changed(path, socket_file, libraries):
                with contextlib.suppress(FileNotFoundError), lock():
                    if select.select([listener], [], [], 0)[0]:
                        continue  # a client came first
                    if os.path.samestat(path.stat(), socket_file):
                        path.unlink()
                return None


@contextlib.contextmanager
def watch_children() -> Iterator[socket.socket]:
    """Yield a socket that is readable once a child has ended."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def accept(listener: socket.socket) -> Fork | None:
    """Return what the next client asks for; None if it asks for nothing that can be understood."""
    connection, _ = listener.accept()
    streams: list[int] = []
    try:
        connection.settimeout(SEND_SECONDS)
        refuse_strangers(connection)
        connection.sendall(b"ready\n")
        message, streams, _, _ = socket.recv_fds(connection, 1 << 16, 3, socket.MSG_CMSG_CLOEXEC)
        while not message.endswith(b"\n"):
            received = connection.recv(1 << 16)
            if not received:
                raise ConnectionError("the client left")
            message += received
        fields: dict[str, Any] = json.loads(message)
        if len(streams) != 3:
            raise ValueError(f"{len(streams)} standard streams came, not 3")
        return Fork(Job(**fields), streams, connection)
    except (OSError, TypeError, ValueError) as error:
        print(f"refused: {error}", flush=True)
        close_all(streams)
        connection.close()
        return None


def close_all(descriptors: list[int]) -> None:
    """Close file descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def obey(client: socket.socket, pid: int) -> socket.socket | None:
    """Pass a client's signals on to its child's process group; SIGKILL and return None if it is gone."""
    try:
        numbers = client.recv(64)
    except OSError:
        numbers = b""
    for number in numbers or [signal.SIGKILL]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
    if numbers:
        return client
    client.close()
    return None


def report(client: socket.socket | None, status: int) -> None:
    """Tell a client, if it is still there, how its child ended."""
    if client is not None:
        with client, contextlib.suppress(OSError):
            client.sendall(f"exit {os.waitstatus_to_exitcode(status)}\n".encode())


def changed(path: Path, socket_file: os.stat_result, libraries: list[tuple[str, int]]) -> bool:
    """Return whether the server's socket or libraries are no longer those it began with."""
    try:
        return not os.path.samestat(path.stat(), socket_file) or installed() != libraries
    except FileNotFoundError:
        return True


def become(fork: Fork, imported_environment: dict[str, str]) -> None:
    """Turn this fork of the server into the process its client would have been.

    Args:
        fork: what to take on.
        imported_environment: variables that importing the libraries has set, as it would have in the client.
    """
    job = fork.job
    refuse_lost_gpu()
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_IGN if number in job.ignored_signals else signal.SIG_DFL)
    if signal.SIGINT not in job.ignored_signals:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, stream in enumerate(fork.streams):
        os.dup2(stream, target)
    close_all(fork.streams)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
    os.chdir(job.folder)
    os.umask(job.umask)
    os.environ.clear()
    os.environ.update(job.environment | imported_environment)
    sys.path[:] = job.path
    sys.argv[:] = [job.module, *job.arguments]
    importlib.invalidate_caches()
    with fork.connection as connection:
        connection.sendall(f"started {os.getpid()}\n".encode())


def refuse_lost_gpu() -> None:
    """Raise RuntimeError in a fork that cannot use the GPU, because its server has used CUDA after all."""
    torch = sys.modules.get("torch")
    lost = torch is not None and torch.cuda._is_in_bad_fork()  # true without a GPU as well
    if lost and "/libcuda.so" in Path("/proc/self/maps").read_text():
        raise RuntimeError("importing the libraries initialised CUDA, so stages cannot start warm here")


def main() -> Fork | None:
    """Serve: ``warm.py SOCKET LIBRARIES`` with the listening socket as standard input."""
    path, libraries = sys.argv[1:]
    listener = socket.socket(fileno=os.dup(0))
    import_libraries(libraries)
    # What is imported stays for good: no child need look through it, and so copy its pages, for garbage.
    gc.collect()
    gc.freeze()
    return serve(listener, Path(path), float(os.environ.get("OFT_WARM_IDLE_SECONDS", "120")))


def run_module(module: str) -> int:
    """Run a module as ``python -m`` does and return its exit status; what Python would print travels on."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except BaseException as left:
        if isinstance(left, SystemExit) and isinstance(left.code, int | None):
            return left.code or 0
        gc.unfreeze()  # Python's own end finds it as it would be in a cold start
        raise
    return 0


def leave_quickly(status: list[int]) -> None:
    """Leave with ``status``, if it is known: taking apart what was imported takes Python two seconds of CPU.

    Registered before all else with ``atexit``, so called last: no thread runs and every other handler has.
    """
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)  # what libraries in C have printed
        os._exit(status[0])


if __name__ == "__main__":
    exit_status: list[int] = []
    atexit.register(leave_quickly, exit_status)
    at_start = dict(os.environ)
    if (forked := main()) is not None:
        become(forked, {name: value for name, value in os.environ.items() if at_start.get(name) != value})
        exit_status.append(run_module(forked.job.module))
    else:
        exit_status.append(0)
