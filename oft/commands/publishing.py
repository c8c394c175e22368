"""The commands `oft publish` and `oft fetch`."""

from __future__ import annotations

import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from oft.errors import UserError

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*")


def publish_command(
    path: Annotated[Path, typer.Argument(help="A file, or a folder: report, runs/TASK/ADAPTER/train, ...")],
    url: Annotated[
        str,
        typer.Argument(
            metavar="S3://BUCKET/PREFIX|HF://OWNER/NAME",
            help="Where its files shall lie, S3 or the hub.",
        ),
    ],
    public: Annotated[
        bool, typer.Option("--public", help="A new repository on the hub is for everybody to see.")
    ] = False,
) -> None:
    """Copy a report, an adapter or shards to S3, or an adapter to the Hugging Face hub; nothing is deleted.

    What is there already, byte for byte, is not sent again: after an interruption run the same command again.
    A folder's manifest, published.json, is sent last and says that it is whole. Hidden files stay here.

    Credentials and endpoint are what AWS's tools use: AWS_PROFILE, or AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, or ~/.aws; AWS_ENDPOINT_URL for MinIO and the like.

    On the hub an adapter's folder becomes a repository with a card (README.md): its base, what it is, and the
    figures of its run where it lies in one. Log in with `hf auth login`.

    For example: oft publish report s3://team/reports/monday

    oft publish runs/subject_rex/oft/magnitude hf://me/rex
    """
    if url.startswith("hf://"):
        _publish_to_hub(path, url.removeprefix("hf://"), public)
        return
    from threading import Lock

    from oft.progress import BYTES, progress
    from oft.storage import plan_publication, publish

    plan = plan_publication(path, url)
    lock = Lock()
    with redirect_stdout(sys.stderr), progress(plan.missing_bytes, "publish", BYTES) as bar:

        def advance(count_bytes: int) -> None:
            with lock:
                bar.advance(count_bytes)

        publish(plan, advance)
    typer.echo(f"{plan.url}: {len(plan.missing)} files sent, {len(plan.kept)} were there")


def _publish_to_hub(folder: Path, repo_id: str, public: bool) -> None:
    """Upload an adapter's folder and its card in one commit.

    Raises:
        UserError: the name is none, the folder holds no adapter, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from oft.errors import first_line
    from oft.report.hub_card import card_of

    if not REPOSITORY.fullmatch(repo_id):
        raise UserError(f"hf://{repo_id}: must be hf://OWNER/NAME, of letters, digits, hyphens, _ and .")
    card = card_of(folder, repo_id.partition("/")[2])
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    operations = [
        CommitOperationAdd(path.relative_to(folder).as_posix(), str(path))
        for path in files
        if path.relative_to(folder).as_posix() != "README.md"
    ]
    api = HfApi()
    try:
        api.create_repo(repo_id, private=not public, exist_ok=True)
        made = api.create_commit(
            repo_id,
            [*operations, CommitOperationAdd("README.md", card.encode())],
            commit_message="The adapter and its card",
        )
    except (HfHubHTTPError, OSError) as fault:
        raise UserError(
            f"hf://{repo_id}: the hub refuses ({first_line(fault)}); log in with `hf auth login` by a token "
            "that may write there, and run the command again"
        ) from fault
    typer.echo(f"{made.commit_url}: {len(files)} files and a card")


def fetch_command(
    url: Annotated[str, typer.Argument(metavar="S3://BUCKET/PREFIX", help="What `oft publish` was given.")],
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
) -> None:
    """Fetch a published folder, every file verified; one that is not whole is refused and leaves nothing.

    For example: oft fetch s3://team/adapters/robot runs/robot
    """
    from oft.storage import fetch_folder

    if folder.exists():
        raise UserError(f"{folder} exists; name a folder that does not, or remove it")
    typer.echo(f"{folder}: {len(fetch_folder(url, folder))} files")
