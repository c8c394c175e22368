"""Publish a finished folder: into a folder atomically, to S3 with the manifest last."""

from __future__ import annotations

import shutil
from pathlib import Path

from oft.storage import atomic_folder, is_remote, plan_publication, publish, translate_enospc


def publish_result(folder: Path, address: str) -> None:
    """Copy a folder to a folder or to ``s3://bucket/prefix``; a retry sends only the missing files.

    Raises:
        DataError: the place cannot be written to.
    """
    if is_remote(address):
        publish(plan_publication(folder, address))
        return
    with translate_enospc(Path(address)), atomic_folder(Path(address)) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
