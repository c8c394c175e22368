"""How a training stage runs as several processes: torchrun's engine starts them, the stage waits for them; or
somebody else has started them, and the stage is one of them.

The environment asks for it (see oft/training/distributed). The stage checks its settings, starts ranks
that run the same stage, forwards what the first one prints, and exits as they do: with one message, whichever
rank had the fault. The stage may have been started warm; its ranks are new processes and start cold. They
lead sessions of their own, so each asks the kernel to kill it when the stage ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from oft.errors import TrainingError, first_line
from oft.training.distributed import (
    ALONE,
    ARRIVAL_SECONDS,
    PROCESSES,
    RENDEZVOUS,
    Layout,
    LostRank,
    Ranks,
    World,
    forget_launcher,
    join,
    join_world,
    leave,
    micro_batches,
    read_layout,
    read_world,
)
from stages.launch import entry, paths
from stages.launch.warm import exit_with

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig

    from oft.settings.training import Optimization

# What a stage tells its ranks besides what torchrun tells them: its pid, and a folder shared with them.
PARENT = "OFT_TRAIN_PARENT"
FOLDER = "OFT_TRAIN_FOLDER"
STORE_FILE = "store"
FAULT_FILE = "fault.txt"

PR_SET_PDEATHSIG = 1  # prctl(2)
SIOCGIFADDR = 0x8915  # netdevice(7)
# How long a rank that lost another one waits to be killed because of it, before it reports the loss itself.
# On one machine, the rank that failed first has reported its fault by then.
LOST_SECONDS = 5.0
STOP_SECONDS = 1


def run(main: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run a training stage: as ``entry.run`` does, as one of the ranks that such a stage has started, or as
    one of the processes that torchrun, accelerate or SLURM has."""
    if PARENT in os.environ:
        _run_rank(main, arguments)
        return
    try:
        world = read_world(os.environ)
    except TrainingError as fault:
        print(fault, file=sys.stderr)
        sys.exit(1)
    if world is None:
        entry.run(main, arguments, heavy=True)
    else:
        _run_joined(main, arguments, world)


def run_as_ranks(arguments: list[str], settings: Optimization) -> bool:
    """Run this process's stage as several processes, if the environment asks for them.

    Returns:
        Whether they have done the work; if not, this process has to, alone or as a rank.

    Raises:
        TrainingError: the environment breaks a rule, the processes do not fit the batch, or one of them died.
    """
    if PARENT in os.environ:
        return False
    if world := read_world(os.environ):
        micro_batches(settings.batch_size, settings.gradient_accumulation_steps, world.size)
        return False
    layout = read_layout(os.environ, _count_gpus)
    micro_batches(settings.batch_size, settings.gradient_accumulation_steps, layout.num_ranks)
    if layout.num_ranks == 1:
        return False
    gpus = _count_gpus()
    if 0 < gpus < layout.per_node:
        raise TrainingError(
            f"{PROCESSES} ({layout.per_node}) must be at most the number of visible GPUs ({gpus}): each "
            "process needs one of its own"
        )
    _start_ranks(layout, entry.module_name(), arguments)
    return True


def join_ranks() -> Ranks:
    """Return the ranks that this process belongs to; ``ALONE`` if nobody has started others with it."""
    if PARENT not in os.environ:
        if world := read_world(os.environ):
            return join_world(world)
        forget_launcher(os.environ)
        return ALONE
    return join(read_layout(os.environ, _count_gpus), Path(os.environ[FOLDER]) / STORE_FILE)


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()


# The stage


def _start_ranks(layout: Layout, module: str, arguments: list[str]) -> None:
    """Return when all ranks have passed; else exit as they did.

    Raises:
        TrainingError: not all machines of the training came.
        KeyboardInterrupt: SIGINT ended it.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import elastic_launch

    name = entry.stage_name(module, arguments)
    machines = (
        ""
        if layout.rendezvous is None
        else " on {} machines, meeting at {}:{}".format(layout.nodes, *layout.rendezvous)
    )
    print(f"{name}: {layout.num_ranks} processes{machines}", flush=True)
    with TemporaryDirectory(prefix="oft-ranks-") as folder:
        config = _configure_launch(layout, name, folder)
        logging.disable(logging.CRITICAL)  # the engine reports a fault in many lines; ours are the last
        try:
            elastic_launch(config, sys.executable)("-m", module, *arguments)
            return
        except ChildFailedError as failed:
            number = _report_failure(failed, layout, name, Path(folder) / FAULT_FILE)
        except RendezvousError as fault:
            raise TrainingError(
                f"{name}: not all of {layout.nodes} machines came to {os.environ[RENDEZVOUS]} within "
                f"{ARRIVAL_SECONDS / 60:.0f} minutes ({first_line(fault)}); start the same stage on each"
            ) from fault
        except SignalException as stopped:
            number = stopped.sigval
        finally:
            logging.disable(logging.NOTSET)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    exit_with(-number)


def _configure_launch(layout: Layout, name: str, folder: str) -> LaunchConfig:
    """Return what torchrun's engine needs to know, and set what its ranks read from the environment."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig

    address, interface = _local_address(layout)
    os.environ |= {PROCESSES: str(layout.per_node), PARENT: str(os.getpid()), FOLDER: folder}
    # The engine would open a second store for its processes, on every address this machine has.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    if layout.rendezvous is None:
        os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={interface}")
    return LaunchConfig(
        min_nodes=layout.nodes,
        max_nodes=layout.nodes,
        nproc_per_node=layout.per_node,
        rdzv_backend=_register_rendezvous(layout, folder),
        rdzv_configs={"join_timeout": int(ARRIVAL_SECONDS)},
        run_id=name,
        max_restarts=0,  # a checkpoint is resumed by running the stage again
        local_addr=address,
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        shutdown_timeout=STOP_SECONDS,
    )


def _report_failure(failed: ChildFailedError, layout: Layout, name: str, fault_file: Path) -> int:
    """Print why a rank failed. Returns the signal that ended it; exits with status 1 if none did."""
    if fault_file.exists():
        print(fault_file.read_text(encoding="utf-8"), file=sys.stderr)
        sys.exit(1)
    _, failure = failed.get_first_failure()
    rank = layout.rank_of(failure.local_rank)
    message = f"{name}: process {rank} was ended by {failure.signal_name()}"
    if failure.exitcode == -signal.SIGKILL:
        message += f", most likely for want of memory: a smaller {PROCESSES} needs less"
    print(f"{message}; run again, it goes on from its checkpoint", file=sys.stderr)
    if failure.exitcode >= 0:
        sys.exit(1)
    return -failure.exitcode  # whoever runs stages tries again where a signal ended one


def _register_rendezvous(layout: Layout, folder: str) -> str:
    """Return the name of torchrun's c10d rendezvous over a store that listens no wider than it must.

    torch's own store listens on every address of a machine. One machine needs no port; several meet at the
    address of machine 0, which the environment names.
    """
    from torch._C._distributed_c10d import FileStore, Store, TCPStore
    from torch.distributed.elastic.rendezvous import rendezvous_handler_registry
    from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
    from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

    class Backend(C10dRendezvousBackend):
        name = "oft-c10d"

    def make(params: Any) -> Any:
        if layout.rendezvous is None:
            store: Store = FileStore(str(Path(folder) / "rendezvous"))
        else:
            host, port = layout.rendezvous
            listening = _listen(host, port) if layout.node_rank == 0 else None
            try:
                store = TCPStore(
                    host,
                    port,
                    is_master=listening is not None,
                    master_listen_fd=listening,
                    multi_tenant=True,
                    timeout=timedelta(seconds=ARRIVAL_SECONDS),
                )
            except RuntimeError as fault:
                raise TrainingError(
                    f"{RENDEZVOUS}: machine 0 did not answer at {host}:{port} within "
                    f"{ARRIVAL_SECONDS / 60:.0f} minutes ({first_line(fault)}); start the stage there too"
                ) from fault
        return create_handler(store, Backend(store, params.run_id), params)

    rendezvous_handler_registry.register(Backend.name, make)
    return Backend.name


def _listen(host: str, port: int) -> int:
    try:
        return socket.create_server((host, port)).detach()
    except OSError as fault:
        raise TrainingError(
            f"{RENDEZVOUS}: machine 0 cannot listen at {host}:{port} ({fault}); give a free port at an "
            "address of its own"
        ) from fault


def _local_address(layout: Layout) -> tuple[str, str]:
    """Return the address, and the interface that has it, by which this machine reaches the others."""
    if layout.rendezvous is None:
        return "127.0.0.1", "lo"
    host, port = layout.rendezvous
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, port))  # sends nothing: it only looks up the route
            address: str = probe.getsockname()[0]
            for _, interface in socket.if_nameindex():
                with suppress(OSError):  # it has no address
                    request = struct.pack("256s", interface.encode()[:15])
                    if socket.inet_ntoa(fcntl.ioctl(probe, SIOCGIFADDR, request)[20:24]) == address:
                        return address, interface
    except OSError as fault:
        raise TrainingError(
            f"{RENDEZVOUS}: there is no route to {host} from here ({fault}); correct it"
        ) from fault
    raise TrainingError(
        f"{RENDEZVOUS}: no interface has the address {address}, by which {host} is reached from here"
    )


# A rank


def _run_rank(main: Callable[[list[str]], None], arguments: list[str]) -> None:
    _die_with_parent(int(os.environ[PARENT]))
    name = entry.stage_name(entry.module_name(), arguments)
    rank = read_layout(os.environ, _count_gpus).rank_of(int(os.environ["LOCAL_RANK"]))
    if rank > 0:
        _redirect_output(paths.LOGS / f"{name}-rank-{rank}.txt")
    try:
        main(arguments)
        leave()
    except KeyboardInterrupt:
        _exit_at_once(entry.INTERRUPTED)
    except SystemExit:
        raise
    except LostRank as lost:
        time.sleep(LOST_SECONDS)
        _report_fault(str(lost))
    except Exception as fault:
        _report_fault(entry.message_of(fault, name) or traceback.format_exc())


def _run_joined(main: Callable[[list[str]], None], arguments: list[str], world: World) -> None:
    """Run the stage as one of the processes that somebody else has started; each exits by itself."""

    def work(arguments: list[str]) -> None:
        try:
            main(arguments)
            leave()
        except LostRank as lost:
            time.sleep(LOST_SECONDS)  # who started this process ends it because of the other
            raise TrainingError(str(lost)) from lost

    if world.rank == 0:
        try:
            entry.run(work, arguments)
        except SystemExit as ended:
            _exit_at_once(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        return
    name = entry.stage_name(entry.module_name(), arguments)
    errors = os.dup(2)  # users see of these the faults alone
    _redirect_output(paths.LOGS / f"{name}-rank-{world.rank}.txt")
    try:
        work(arguments)
    except KeyboardInterrupt:
        _exit_at_once(entry.INTERRUPTED)
    except Exception as fault:
        message = entry.message_of(fault, name) or traceback.format_exc()
        os.write(errors, f"{message.rstrip()}\n".encode())
        _exit_at_once(1)


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the stage ends, in whatever way."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended already
        _exit_at_once(1)


def _redirect_output(file: Path) -> None:
    """Send what this process prints to a file: users read what the first rank prints."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        for target in (1, 2):
            os.dup2(stream.fileno(), target)


def _report_fault(message: str) -> NoReturn:
    """Write ``message`` for the stage to print, unless another rank has written one, and exit at once."""
    folder = Path(os.environ[FOLDER])
    written = folder / f"{FAULT_FILE}.{os.getpid()}"
    written.write_text(message.rstrip("\n"), encoding="utf-8")
    with suppress(FileExistsError):
        os.link(written, folder / FAULT_FILE)
    _exit_at_once(1)


def _exit_at_once(status: int) -> NoReturn:
    """Exit without Python's shutdown, which may wait for a backend's threads that wait for other ranks."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
