"""Files on this machine, written whole or not at all, and objects on S3.

Public names are imported when they are first used: who writes an adapter needs neither YAML nor locks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oft.storage.files import (
        CHUNK_BYTES,
        atomic_file,
        atomic_folder,
        flatten,
        read_json,
        require_space,
        sha256_file,
        translate_enospc,
        write_json,
    )
    from oft.storage.locks import file_lock, try_lock
    from oft.storage.publishing import Publication, fetch_folder, plan_publication, publish
    from oft.storage.remote import (
        ByteStream,
        fetch_remote,
        is_remote,
        list_remote,
        list_versions,
        open_remote,
        read_remote,
    )
    from oft.storage.yaml12 import MarkedYAMLError, YAMLError, dump_yaml, load_yaml, update_yaml

_HOMES = {
    "files": (
        "CHUNK_BYTES",
        "atomic_file",
        "atomic_folder",
        "flatten",
        "read_json",
        "require_space",
        "sha256_file",
        "translate_enospc",
        "write_json",
    ),
    "locks": ("file_lock", "try_lock"),
    "publishing": ("Publication", "fetch_folder", "plan_publication", "publish"),
    "remote": (
        "ByteStream",
        "fetch_remote",
        "is_remote",
        "list_remote",
        "list_versions",
        "open_remote",
        "read_remote",
    ),
    "yaml12": ("MarkedYAMLError", "YAMLError", "dump_yaml", "load_yaml", "update_yaml"),
}

__all__ = [
    "CHUNK_BYTES",
    "ByteStream",
    "MarkedYAMLError",
    "Publication",
    "YAMLError",
    "atomic_file",
    "atomic_folder",
    "dump_yaml",
    "fetch_folder",
    "fetch_remote",
    "file_lock",
    "flatten",
    "is_remote",
    "list_remote",
    "list_versions",
    "load_yaml",
    "open_remote",
    "plan_publication",
    "publish",
    "read_json",
    "read_remote",
    "require_space",
    "sha256_file",
    "translate_enospc",
    "try_lock",
    "update_yaml",
    "write_json",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
