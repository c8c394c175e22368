"""Generated pictures on disk: one tar a shard, each picture with the request it answers."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from oft.errors import DataError
from oft.pictures import decode_array, encode_png
from oft.shards.tars import add_member
from oft.storage import atomic_file
from oft.types import Request


def write_samples(target: Path, pictures: Iterable[tuple[Request, UInt8[np.ndarray, "h w 3"]]]) -> int:
    """Write pictures (PNG) and requests (JSON) as one tar, whole or not at all; return how many."""
    count = 0
    with atomic_file(target) as partial, tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
        for request, picture in pictures:
            add_member(tar, f"{request.name}.png", encode_png(picture))
            add_member(tar, f"{request.name}.json", json.dumps(asdict(request), sort_keys=True).encode())
            count += 1
    return count


def sample_archive(folder: Path, shard: int) -> Path:
    """Return where the pictures of a shard lie."""
    return folder / f"{shard}.tar"


def read_samples(folder: Path, num_shards: int) -> Iterator[tuple[Request, UInt8[np.ndarray, "h w 3"]]]:
    """Yield the requests and pictures of the first ``num_shards`` shards, in order of key and index.

    A run in more shards may have left others behind; they are not this run's.

    Raises:
        DataError: a tar is missing or damaged.
    """
    found: dict[tuple[str, int], tuple[Request, bytes]] = {}
    for path in (sample_archive(folder, shard) for shard in range(num_shards)):
        try:
            with tarfile.open(path) as tar:
                members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
                contents = {name: stream.read() for name, stream in members.items() if stream}
        except FileNotFoundError as fault:
            raise DataError(f"{path}: missing; draw it with `dvc repro`") from fault
        except (tarfile.TarError, OSError) as fault:
            raise DataError(
                f"{path}: damaged ({fault}); delete it and run `dvc repro` for its stage again"
            ) from fault
        for name, data in contents.items():
            if name.endswith(".json"):
                request = Request(**json.loads(data))
                found[request.key, request.index] = (request, contents[f"{request.name}.png"])
    for _, (request, data) in sorted(found.items()):
        yield request, decode_array(data).astype(np.uint8)
