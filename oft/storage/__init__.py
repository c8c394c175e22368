"""Files on this machine, written whole or not at all, and objects on S3."""

from oft.storage.files import (
    CHUNK_BYTES,
    atomic_file,
    atomic_folder,
    full_disk_named,
    read_json,
    require_space,
    sha256_file,
    write_json,
)
from oft.storage.remote import (
    ByteStream,
    fetch_remote,
    is_remote,
    list_remote,
    list_versions,
    open_remote,
    read_remote,
)

__all__ = [
    "CHUNK_BYTES",
    "ByteStream",
    "atomic_file",
    "atomic_folder",
    "fetch_remote",
    "full_disk_named",
    "is_remote",
    "list_remote",
    "list_versions",
    "open_remote",
    "read_json",
    "read_remote",
    "require_space",
    "sha256_file",
    "write_json",
]
