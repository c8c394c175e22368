"""Data cards: what a set of shards holds, where it comes from, and what became of it on the way.

``card.json`` is for programs, ``README.md`` the same for people, with the front matter of a data set on the
hub: a folder of shards can be shared as it is. Neither says anything about the machine or the day.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from oft.data.shards import INDEX_NAME, read_index
from oft.errors import DataError
from oft.storage import atomic_file, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from oft.params import Params

CARD_NAME = "card.json"
README_NAME = "README.md"
SCHEMA_VERSION = 1

HUB_LICENCES = frozenset(
    [
        "apache-2.0",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-4.0",
        "cc-by-sa-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "mit",
    ]
)
"""Licence tags that the hub knows by the same name; it calls all others "other"."""

SOURCES = {
    "world": "a miniature world, rendered in the layout of the official data set",
    "photos": "photographs that ship with scikit-image and scikit-learn",
}
"""What ``acquire.source`` means where it is no folder of the user's."""

# The hub's size classes: from how many samples on.
_SIZE_CATEGORIES = (
    (1_000_000, "1M<n<10M"),
    (100_000, "100K<n<1M"),
    (10_000, "10K<n<100K"),
    (1_000, "1K<n<10K"),
    (0, "n<1K"),
)
_HUB_SPLITS = {"train": "train", "val": "validation"}


def write_card(folder: Path, params: Params, task: str, counts: Mapping[str, Path]) -> None:
    """Write ``card.json`` and ``README.md`` into a folder of shards; equal shards and settings, equal bytes.

    Args:
        folder: finished shards with their index.
        params: the run's settings.
        task: the task or subject that the shards are of.
        counts: by stage, in their order, the file of what an earlier stage counted.

    Raises:
        DataError: a file of counts is missing or damaged.
    """
    splits = read_index(folder)["splits"]
    counted = {stage: _read_counts(stage, path) for stage, path in counts.items()}
    card = {
        "schema": SCHEMA_VERSION,
        "task": task,
        **_origin(params, task),
        "splits": {name: _contents(folder, split) for name, split in splits.items()},
        "index_sha256": sha256_file(folder / INDEX_NAME),
        "counts": counted | {"shard": _totals({name: split["counts"] for name, split in splits.items()})},
    }
    write_json(folder / CARD_NAME, card)
    with atomic_file(folder / README_NAME) as partial:
        partial.write_text(render_card(read_json(folder / CARD_NAME)), encoding="utf-8")


def render_card(card: Mapping[str, Any]) -> str:
    """Return a card as Markdown."""
    import yaml

    splits = card["splits"]
    total = sum(split["num_samples"] for split in splits.values())
    licences = sorted({tag for split in splits.values() for tag in split["licences"]})
    front = {
        "pretty_name": card["task"],
        "license": _hub_licence(licences),
        "task_categories": ["text-to-image"],
        "size_categories": [next(name for least, name in _SIZE_CATEGORIES if total >= least)],
        "tags": ["webdataset", "orthogonal-finetuning"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": _HUB_SPLITS[name], "path": f"{name}-*.tar"}
                    for name, split in splits.items()
                    if split["num_shards"]
                ],
            }
        ],
    }
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {card['task']}",
        "",
        f"{'Pictures and their conditioning images' if 'condition' in card else 'Pictures'}, captions and "
        f"origins by key, in webdataset shards for orthogonal finetuning. `{CARD_NAME}` holds this page for "
        "programs.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {_cell(term)} | {_cell(text)} |" for term, text in describe_card(card).items()),
        "",
        "## What became of it",
        "",
        "| stage | split | seen | kept | dropped |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for stage, by_split in card["counts"].items():
        for split, tally in by_split.items():
            dropped = ", ".join(
                f"{number:,} {reason.replace('_', ' ')}" for reason, number in tally["dropped"].items()
            )
            lines.append(
                f"| {stage} | {split} | {tally['seen']:,} | {tally['kept']:,} | {_cell(dropped) or 'none'} |"
            )
    return "\n".join(lines) + "\n"


def describe_card(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what a card says, as terms and words."""
    splits = card["splits"]
    licences = sum((Counter(split["licences"]) for split in splits.values()), Counter[str]())
    source = SOURCES.get(card["source"], f"“{card['source']}”")
    terms = {
        "Data set": f"{card['dataset']} ({source}; read as {card['reader']})",
        "Condition": _named(card.get("condition", {})),
        "Subject": _named(card.get("subject", {})),
        "Pictures": _settings({"resolution_px": card["resolution_px"], **card["prepare"]}),
        "Captions": _settings(card.get("captions", {})),
        **{
            f"Split {name}": f"samples {split['num_samples']:,}, captions {split['num_captions']:,}, shards "
            f"{split['num_shards']:,}, bytes {split['num_bytes']:,}"
            for name, split in splits.items()
        },
        "Licences": ", ".join(f"{tag} ({number:,})" for tag, number in sorted(licences.items())),
        "Index, SHA-256": card["index_sha256"],
    }
    return {term: text for term, text in terms.items() if text}


def _origin(params: Params, task: str) -> dict[str, Any]:
    subject = params.subjects.get(task)
    dataset = subject.dataset if subject else params.tasks[task].dataset
    settings = params.datasets[dataset]
    origin: dict[str, Any] = {
        "dataset": dataset,
        "reader": settings.reader,
        "source": _public(settings.acquire.source),
        "resolution_px": params.resolution_px,
        "prepare": settings.prepare.model_dump(),
    }
    if subject:
        return origin | {"subject": {"name": subject.subject, "identifier": params.identifier}}
    condition = params.tasks[task].condition
    captions = settings.captions.model_dump() | {"source": _public(settings.captions.source)}
    if settings.captions.source == "blip":
        captions["blip"] = params.blip.model_dump() | {"model": _public(params.blip.model)}
    return origin | {
        "condition": {"name": condition, **params.conditions.model_dump().get(condition, {})},
        "captions": captions,
    }


def _public(source: str) -> str:
    """A source without this machine's folders or a secret: a path's last part, an address without account."""
    if "://" in source:
        address = urlsplit(source)
        return f"{address.scheme}://{address.hostname or ''}{address.path}"
    return Path(source).name if source.startswith((".", "/", "~")) else source


def _contents(folder: Path, split: Mapping[str, Any]) -> dict[str, Any]:
    shards = [folder / shard["name"] for shard in split["shards"]]
    licences: Counter[str] = Counter()
    num_captions = 0
    for meta in _read_metas(shards):
        licences[meta["licence"]] += 1
        num_captions += len(meta["captions"])
    return {
        "licences": dict(sorted(licences.items())),
        "num_bytes": sum(path.stat().st_size for path in shards),
        "num_captions": num_captions,
        "num_samples": split["num_samples"],
        "num_shards": len(shards),
    }


def _read_metas(shards: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in shards:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name.endswith(".json") else None
                if stream is not None:
                    yield json.loads(stream.read())


def _read_counts(stage: str, path: Path) -> dict[str, Any]:
    try:
        return _totals(read_json(path))
    except FileNotFoundError as error:
        raise DataError(
            f"there is no {path}, which the stage `{stage}` writes; run the stage (`dvc repro`)"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); delete it and run `dvc repro`") from error


def _totals(by_split: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a stage counted, without the names of files."""
    return {
        split: {key: tally[key] for key in ("seen", "kept", "dropped")} for split, tally in by_split.items()
    }


def _hub_licence(tags: list[str]) -> str:
    known = tags[0].lower().replace(" ", "-") if len(tags) == 1 else ""
    return known if known in HUB_LICENCES else "other"


def _named(values: Mapping[str, Any]) -> str:
    settings = _settings({key: value for key, value in values.items() if key != "name"})
    return f"{values['name']} ({settings})" if settings else values.get("name", "")


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} ({_settings(value)})" if isinstance(value, Mapping) else f"{key} {_word(value)}"
        for key, value in values.items()
    )


def _word(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case str() if " " in value:
            return f"“{value}”"
        case _:
            return str(value)


def _cell(text: str) -> str:
    """A text that cannot break out of its cell of a table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
