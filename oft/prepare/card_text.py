"""A data card in words: the README of a folder of shards, and what the report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from oft.datasets.reader import RENDERED_SOURCES
from oft.datasets.registry import dataset_title
from oft.storage import dump_yaml

CARD_NAME = "card.json"

_SOURCES = {
    "download": "the official archives, downloaded and checked",
    "photos": "photographs that ship with scikit-image and scikit-learn",
    **dict.fromkeys(RENDERED_SOURCES, "rendered: no picture of the published data set is in it"),
}

HUB_LICENCES = frozenset(
    [
        "apache-2.0",
        "cc-by-2.0",
        "cc-by-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "mit",
    ]
)
"""Licence tags that the hub knows by the same name; it calls all others "other"."""

# The hub's size classes: from how many samples on.
_SIZE_CATEGORIES = (
    (1_000_000, "1M<n<10M"),
    (100_000, "100K<n<1M"),
    (10_000, "10K<n<100K"),
    (1_000, "1K<n<10K"),
    (0, "n<1K"),
)
_HUB_SPLITS = {"train": "train", "val": "validation"}


def render_card(card: Mapping[str, Any]) -> str:
    """Return a card as Markdown, with the front matter of a data set on the hub."""
    pictures = "Pictures and their conditioning images" if "condition" in card else "Pictures"
    lines = [
        "---",
        dump_yaml(_front_matter(card)).rstrip(),
        "---",
        "",
        f"# {card['task']}: {_title(card)}",
        "",
        f"{pictures}, captions and origins by key, in webdataset shards for orthogonal finetuning. "
        f"`{CARD_NAME}` holds this page for programs.",
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
            reasons = {reason.replace("_", " "): number for reason, number in tally["dropped"].items()}
            dropped = ", ".join(f"{number:,} {reason}" for reason, number in reasons.items()) or "none"
            lines.append(f"| {stage} | {split} | {tally['seen']:,} | {tally['kept']:,} | {_cell(dropped)} |")
    return "\n".join(lines) + "\n"


def describe_card(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what a card says of the data and how it was made, as terms and words."""
    splits = card["splits"]
    licences = sum((Counter(split["licences"]) for split in splits.values()), Counter[str]())
    source = _SOURCES.get(card["source"], f"copied from “{card['source']}”")
    terms = {
        "Data set": f"{_title(card)} ({source}; {card['dataset']} in the settings, read as {card['reader']})",
        **_official(card.get("official", {})),
        "Photographs by": _credits(card.get("credits", {})),
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


def _title(card: Mapping[str, Any]) -> str:
    return dataset_title(card["dataset"], card["reader"], card["source"])


def _official(source: Mapping[str, Any]) -> dict[str, str]:
    if not source:
        return {}
    archives = (
        f"{archive['name']} from {archive['address']} ({archive['checksum'] or 'no checksum is published'})"
        for archive in source["archives"]
    )
    return {
        "Published as": f"{source['title']} (licence: {source['licence']}; terms: {source['terms']})",
        "Archives": "; ".join(archives),
    }


def _credits(credits: Mapping[str, str]) -> str:
    """Who took the photographs, under which licence, and that they were changed, as CC-BY asks for."""
    named = "; ".join(f"{name}: {credit}" for name, credit in credits.items())
    return f"{named}; cropped and made smaller here" if named else ""


def _front_matter(card: Mapping[str, Any]) -> dict[str, Any]:
    splits = card["splits"]
    total = sum(split["num_samples"] for split in splits.values())
    data_files = [
        {"split": _HUB_SPLITS[name], "path": f"{name}-*.tar"}
        for name, split in splits.items()
        if split["num_shards"]
    ]
    return {
        "pretty_name": f"{card['task']}: {_title(card)}",
        "license": _hub_licence({tag for split in splits.values() for tag in split["licences"]}),
        "task_categories": ["text-to-image"],
        "size_categories": [next(name for least, name in _SIZE_CATEGORIES if total >= least)],
        "tags": ["webdataset", "orthogonal-finetuning"],
        "configs": [{"config_name": "default", "data_files": data_files}],
    }


def _hub_licence(tags: set[str]) -> str:
    known = {tag.lower().replace(" ", "-") for tag in tags} & HUB_LICENCES
    return known.pop() if len(known) == len(tags) == 1 else "other"


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
