"""Parts of PNG files, and why a picture is refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest

from oft.errors import DataError
from oft.pictures import PictureError

PNG_START = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def reason_of(call: Callable[[], object]) -> str:
    with pytest.raises(PictureError) as caught:
        call()
    assert isinstance(caught.value, DataError) and caught.value.name in str(caught.value)
    return caught.value.reason
