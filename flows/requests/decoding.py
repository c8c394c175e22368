"""``python -m flows.requests.decoding``: decode the pictures named on stdin with little memory and time.

A file of some bytes may hold a picture that takes gigabytes, or hours: it claims a size, or is drawn over and
over again. A process of its own has limits that the kernel keeps, whatever a decoder does.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
from PIL import Image

from flows.executors.pythonpath import module_command, with_pythonpath
from oft.errors import DataError
from oft.pictures import PictureError, Size, known_formats, load_picture

MAX_PIXELS = 64_000_000
MAX_PIXELS_IN_SUM = 2_000_000_000
MAX_SCANS = 64
"""Progressive JPEGs have about ten; each scan takes as long as a picture of one."""
MAX_MEMORY_BYTES = 2 << 30
MAX_CPU_SECONDS = 120
MAX_SECONDS = 600.0
"""Of processors, and on the clock of a machine that has others to serve; for all pictures together."""

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_END, _SCAN = 0xD9, 0xDA
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})  # see ITU-T T.81, table B.1


def decode_pictures(paths: Sequence[Path], folder: Path) -> tuple[dict[Path, Size], list[str]]:
    """Return the sizes of the pictures that decode, upright, and what is wrong with the others.

    A picture that uses up time or memory is the last that is looked at.

    Args:
        folder: where the process works: one that is left behind is ended with its folder.
    """
    # Not as arguments, of which a system takes so many bytes and no more.
    named = b"\0".join(os.fsencode(path.absolute()) for path in paths)
    try:
        done = subprocess.run(
            module_command("flows.requests.decoding"),
            cwd=folder,
            env=with_pythonpath(os.environ),
            input=named,
            capture_output=True,
            timeout=MAX_SECONDS,
            check=False,
        )
        exit_code, said = done.returncode, done.stdout
        assert exit_code <= 0, done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired as expired:
        exit_code, said = -1, expired.stdout or b""
    answers = [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]
    sizes = {
        path: (answer[0], answer[1])
        for path, answer in zip(paths, answers, strict=False)
        if isinstance(answer, list)
    }
    faults = [answer for answer in answers if isinstance(answer, str)]
    if exit_code < 0 and len(answers) < len(paths):
        faults.append(
            f"{paths[len(answers)].name}: takes too long or too much memory to decode (all pictures together "
            f"have {MAX_CPU_SECONDS} s); save it anew, or smaller"
        )
    return sizes, faults


def decode(path: Path) -> Size:
    """Return the size of a picture, upright, once all of it has been decoded.

    Raises:
        DataError: it is no sound picture, or takes more than one may.
    """
    width, height = claimed_size(path)
    if width * height > MAX_PIXELS:
        most = f"more than {MAX_PIXELS // 10**6} megapixels"
        raise DataError(f"{path.name}: has {width} x {height} pixels, {most}; make it smaller")
    try:
        num_scans = count_scans(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path.name}: cannot be read: {error.strerror}; let the server's user read it"
        ) from error
    if num_scans > MAX_SCANS:
        most = f"the most are {MAX_SCANS}"
        raise DataError(f"{path.name}: is a JPEG of {num_scans} scans, {most}; save it anew")
    try:
        return load_picture(path).size
    except PictureError as error:
        if error.reason != "too_large":
            raise
        most = f"more than {MAX_PIXELS // 10**6} megapixels, or takes too much memory to decode"
        raise DataError(f"{path.name}: has {most}; make it smaller") from error


def claimed_size(path: Path) -> Size:
    """Return width and height from a picture's header; (0, 0) without one, which `load_picture` tells."""
    try:
        with Image.open(path, formats=known_formats()) as image:
            return image.size
    except Exception:  # as decoders raise anything
        return 0, 0


def count_scans(data: bytes) -> int:
    """Return how many scans a JPEG has; 0 for another format."""
    if not data.startswith(b"\xff\xd8"):
        return 0
    num_scans, place = 0, 2
    while (found := _MARKER.search(data, place)) and (marker := data[found.end() - 1]) != _END:
        place = found.end()
        if marker not in _WITHOUT_LENGTH:
            place += max(2, int.from_bytes(data[place : place + 2], "big"))
            num_scans += marker == _SCAN
    return num_scans


def main(paths: Iterable[str]) -> None:
    """Print for each picture, as JSON on a line, its width and height, or what is wrong with it."""
    memory_bytes = psutil.Process().memory_info().vms + MAX_MEMORY_BYTES
    for limit, most in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, MAX_CPU_SECONDS)):
        resource.setrlimit(limit, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    num_pixels = 0
    for path in paths:
        try:
            width, height = decode(Path(path))
        except DataError as error:
            print(json.dumps(str(error)), flush=True)
            continue
        print(json.dumps([width, height]), flush=True)
        num_pixels += width * height
        if num_pixels > MAX_PIXELS_IN_SUM:
            most = MAX_PIXELS_IN_SUM // 10**6
            print(json.dumps(f"the pictures have more than {most} megapixels in sum; give fewer, or smaller"))
            return


if __name__ == "__main__":
    main(os.fsdecode(name) for name in sys.stdin.buffer.read().split(b"\0") if name)
