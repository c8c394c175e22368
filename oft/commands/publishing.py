"""The commands `oft publish` and `oft fetch`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from oft.errors import UserError


def publish_command(
    path: Annotated[Path, typer.Argument(help="A file, or a folder: report, runs/TASK/ADAPTER/train, ...")],
    url: Annotated[str, typer.Argument(metavar="S3://BUCKET/PREFIX", help="Where its files shall lie.")],
) -> None:
    """Copy a report, an adapter or shards to S3, where nothing is deleted.

    What is there already, byte for byte, is not sent again: after an interruption run the same command again.
    A folder's manifest, published.json, is sent last and says that it is whole. Hidden files stay here.

    Credentials and endpoint are what AWS's tools use: AWS_PROFILE, or AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, or ~/.aws; AWS_ENDPOINT_URL for MinIO and the like.

    For example: oft publish report s3://team/reports/monday
    """
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
