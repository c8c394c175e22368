"""The client of a warm server: the process that DVC started, which waits for the child that does its work."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from .key import server_key
from .protocol import FOLDER, FORWARDED_SIGNALS, Job, check_peer_uid, folder_lock, read_reply, send_job

LIBRARIES = (
    "torch torch._dynamo accelerate numpy PIL.Image pydantic ruamel.yaml safetensors.torch "
    "transformers:CLIPModel,CLIPTextModel,CLIPTokenizer,ResNetModel,SegformerForSemanticSegmentation "
    "diffusers:AutoencoderKL,StableDiffusionPipeline,UNet2DConditionModel,DDIMScheduler,DDPMScheduler,"
    "DPMSolverMultistepScheduler,EulerDiscreteScheduler,HeunDiscreteScheduler,UniPCMultistepScheduler dvclive"
)
START_SECONDS = 600.0  # how long a client waits for a server to import its libraries, on a crowded machine


def run_in_server(module: str, arguments: list[str], environment: dict[str, str]) -> int | None:
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
            replies = stack.enter_context(connection.makefile(encoding="ascii"))
            read_reply("ready", replies)
            connection.settimeout(None)
            send_job(connection, describe_job(module, arguments, environment))
            pid = int(read_reply("started", replies))
        except (OSError, ValueError) as error:
            print(f"No warm start ({error}): starting cold.", file=sys.stderr, flush=True)
            return None
        forward_signals(connection)
        try:
            return int(read_reply("exit", replies))
        except (OSError, ValueError):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            print("The warm server was killed, so the stage it ran was ended.", file=sys.stderr)
            return -signal.SIGKILL


def exit_with(status: int) -> NoReturn:
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
    with folder_lock():
        try:
            return connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            # The client binds: it can connect at once, and two clients never start two servers.
            listener.bind(str(path))
            listener.listen(socket.SOMAXCONN)
            script = Path(__file__).with_name("__main__.py")
            start_server(listener, [sys.executable, *flags, "-P", str(script), str(path), libraries])
        return connect(path)


def connect(path: Path) -> socket.socket:
    """Return a connection to the server that listens at ``path``."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(START_SECONDS)
        connection.connect(str(path))
        check_peer_uid(connection)
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


def describe_job(module: str, arguments: list[str], environment: dict[str, str]) -> Job:
    """Return what a child needs to know of this process."""
    umask = os.umask(0o077)
    os.umask(umask)
    ignored = [int(number) for number in FORWARDED_SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    return Job(module, arguments, str(Path.cwd()), environment, sys.path, umask, ignored)


def forward_signals(connection: socket.socket) -> None:
    """Forward every signal of ``FORWARDED_SIGNALS`` to the server, as its number, instead of obeying it."""

    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(bytes([number]))

    for number in FORWARDED_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
