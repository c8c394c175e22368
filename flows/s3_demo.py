"""``python -m flows.s3_demo``: demonstrate on a loopback server how two clones share one remote on S3."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import typer

from flows.commands import describe_failure, dvc_command, dvc_environment, read_dvc_json
from flows.graph import StageGraph, plan_stages, read_graph
from flows.process import exit_on_signals, run_command, start_command, terminate_groups
from flows.redaction import hide_secrets
from flows.server import free_port, without_proxy
from flows.trials.changes import apply_changes
from oft.errors import UserError
from oft.profiles import write_profile
from oft.storage import list_remote, load_yaml, update_yaml

BUCKET = "team"
REMOTE = f"s3://{BUCKET}/results"
SETTING, VALUE = "evaluate.kernel_distance_subsets", 40
SERVER_SECONDS = 60
# Lines of `make repro`, and of `dvc repro` itself.
_RAN = re.compile(
    r"\[(.+)\] (?:done|cached) after"
    r"|Running stage '(.+)':"
    r"|Stage '(.+)' is cached - skipping run"
)

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


class StagesRun(NamedTuple):
    """The stages run by the first clone, by the second, and by the second after a change."""

    first: list[str]
    second: list[str]
    changed: list[str]


@app.command()
def main() -> None:
    """Show that what one clone has made and pushed to S3, another does not make again.

    An S3 server on this machine and two clones of the commit at hand, all in a temporary folder: the first
    clone runs profile smoke and pushes; the second pulls and `dvc repro` runs nothing; then one setting is
    changed there and only what depends on it runs. Every claim is checked. About four minutes on two cores.
    """
    exit_on_signals()
    os.environ["NO_PROXY"] = without_proxy()
    started = time.monotonic()

    def say(text: str) -> None:
        typer.echo(f"[{time.monotonic() - started:5.1f} s] {hide_secrets(text)}")

    try:
        with tempfile.TemporaryDirectory(prefix="s3-demo-") as folder, loopback_s3(Path(folder)) as endpoint:
            say(f"An S3 server at {endpoint}, folder {folder}")
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(team_environment(endpoint, Path(folder)))
            make_bucket(endpoint)
            demonstrate(Path.cwd(), Path(folder), choose_smoke, (SETTING, VALUE), say)
        say("The server has ended and the folder is removed.")
    except UserError as error:
        typer.echo(hide_secrets(str(error)), err=True)
        raise typer.Exit(code=1) from None
    except KeyboardInterrupt:
        typer.echo("\nStopped: the server has ended and the folder is removed.", err=True)
        raise typer.Exit(code=130) from None


def demonstrate(
    source: Path,
    folder: Path,
    prepare: Callable[[Path], None],
    change: tuple[str, int],
    say: Callable[[str], None],
) -> StagesRun:
    """Run in a first clone and push, pull in a second and run, change a setting there and run.

    Args:
        source: a git repository with a DVC pipeline; its current commit is cloned.
        folder: where the clones are made.
        prepare: brings the first clone's settings about.
        change: a setting of params.yaml, its sections joined by points, and another value for it.
        say: prints a line.

    Raises:
        UserError: a command fails, or does not do what is claimed of it.
    """
    first, second = folder / "first", folder / "second"
    run(["git", "clone", "--quiet", str(source), str(first)], folder)
    prepare(first)
    run(dvc_command(["remote", "add", "--quiet", "--force", "--default", "team", REMOTE]), first)
    graph = read_graph(first)
    say(f"First clone: runs the pipeline of {len(graph)} stages")
    ran_first = run_stages([sys.executable, "-m", "flows.reproduce", "--plain"], first, say)
    say(f"First clone: {len(ran_first)} stages ran; pushes")
    push_and_commit(first, say)
    run(["git", "clone", "--quiet", str(first), str(second)], folder)
    ran_second = pull_and_reproduce(second, say)
    return StagesRun(ran_first, ran_second, reproduce_change(second, graph, change, say))


def push_and_commit(clone: Path, say: Callable[[str], None]) -> None:
    """Push the clone's results to the remote, and commit dvc.lock and the remote."""
    begun = time.monotonic()
    run([sys.executable, "-m", "flows.share", "push"], clone)
    sizes = list_remote(REMOTE)
    say(f"First clone: pushed {describe(sizes, time.monotonic() - begun)}; commits dvc.lock and the remote")
    run(["git", "add", "--all"], clone)
    author = ["-c", "user.name=first", "-c", "user.email=first@example.org", "-c", "commit.gpgsign=false"]
    run(["git", *author, "commit", "--quiet", "--no-verify", "--message", "Results on S3"], clone)


def pull_and_reproduce(clone: Path, say: Callable[[str], None]) -> list[str]:
    """Pull in the second clone and reproduce; return the stages that ran.

    Raises:
        UserError: one did.
    """
    say("Second clone: pulls")
    begun = time.monotonic()
    run([sys.executable, "-m", "flows.share", "pull"], clone)
    say(f"Second clone: pulled in {time.monotonic() - begun:.1f} s; dvc repro")
    ran = run_stages(dvc_command(["repro"]), clone, say)
    if ran:
        raise UserError(f"dvc repro in the second clone was to run nothing and ran {', '.join(ran)}")
    say("Second clone: dvc repro ran nothing")
    return ran


def reproduce_change(
    clone: Path, graph: StageGraph, change: tuple[str, int], say: Callable[[str], None]
) -> list[str]:
    """Change a setting in the second clone and reproduce; return the stages that ran.

    Raises:
        UserError: a stage that depends on it did not run, or one that does not depend on it did.
    """
    change_setting(clone / "params.yaml", *change)
    changed = sorted(read_dvc_json(["status"], root=clone))
    say(f"Second clone: {change[0]} is now {change[1]}; {', '.join(changed)} depend on it; dvc repro")
    ran = run_stages(dvc_command(["repro"]), clone, say)
    allowed = {stage for stage in graph if set(plan_stages(graph, [stage])) & set(changed)}
    if not changed or not set(changed) <= set(ran) or not set(ran) <= allowed:
        raise UserError(
            f"dvc repro was to run {', '.join(changed)} and what follows, and ran {', '.join(ran)}"
        )
    say(f"Second clone: {len(ran)} of {len(graph)} stages ran, all that depend on it and no other")
    return ran


def run(command: Sequence[str], root: Path, log: Callable[[str], None] = lambda _: None) -> None:
    """Run a command of the demonstration.

    Raises:
        UserError: it failed; the message carries its last lines.
    """
    finished = run_command(command, root=root, log=log, environment=dvc_environment())
    if finished.exit_code:
        raise UserError(describe_failure(" ".join(map(str, command)), finished))


def run_stages(command: Sequence[str], root: Path, say: Callable[[str], None]) -> list[str]:
    """Run stages, name each, and return those that ran or were restored, in this order."""
    ran: list[str] = []

    def log(line: str) -> None:
        if match := _RAN.match(line):
            ran.append(next(name for name in match.groups() if name))
            say(f"  {line}")

    run(command, root, log)
    return ran


def describe(sizes: dict[str, int], seconds: float) -> str:
    """Say how much went how fast."""
    amount = sum(sizes.values()) / 1e6
    return f"{len(sizes)} objects, {amount:.1f} MB in {seconds:.1f} s, {amount / max(seconds, 1e-9):.1f} MB/s"


def choose_smoke(clone: Path) -> None:
    """Write the smallest profile's settings."""
    write_profile(clone / "conf", "smoke", clone / "params.yaml")


def change_setting(params: Path, name: str, value: int) -> None:
    """Change one setting of params.yaml; the rest of the file stays as it is."""
    text = params.read_text(encoding="utf-8")
    values = apply_changes(load_yaml(text), {name: value})
    params.write_text(update_yaml(text, values), encoding="utf-8")


def team_environment(endpoint: str, folder: Path) -> dict[str, str]:
    """The variables of a member of the team: the demonstration's own, none of the person's."""
    empty = folder / "aws"
    empty.touch()
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "demonstration",
        "AWS_SECRET_ACCESS_KEY": "demonstration",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(empty),
        "AWS_SHARED_CREDENTIALS_FILE": str(empty),
    }


@contextmanager
def loopback_s3(folder: Path) -> Iterator[str]:
    """Yield the address of an S3 server in a process of its own, on a free port of this machine.

    Raises:
        UserError: moto is not installed, or its server does not start.
    """
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    quiet = ["sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh", *command]  # its requests would fill a pipe
    server = start_command(quiet, root=folder)
    try:
        deadline = time.monotonic() + SERVER_SECONDS
        while not answers(endpoint):
            if server.poll() is not None or time.monotonic() > deadline:
                raise UserError(
                    "the S3 server (moto, a development package) does not start: `make setup-dev`"
                )
            time.sleep(0.1)
        yield endpoint
    finally:
        terminate_groups([server])


def answers(endpoint: str) -> bool:
    """Whether a server is there."""
    try:
        urllib.request.urlopen(endpoint, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def make_bucket(endpoint: str) -> None:
    """Make the bucket; the loopback server asks for no signature."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT"), timeout=10).close()


if __name__ == "__main__":
    app()
