"""Tables are read whole, and the parts of a collection are apart."""

from __future__ import annotations

import pytest

from experiments.text.corpora import make_corpus, read_table
from oft.errors import DataError
from tests.experiments.text.conftest import write_rows


def test_every_row_is_a_document_with_an_id_of_its_own() -> None:
    documents = read_table(write_rows("r8-test"), "test", "r8-test")
    assert [document.id for document in documents] == [f"test-{row:05d}" for row in range(30)]
    assert documents[1].label == "money" and documents[1].text == "rate bank r8 test number xx"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"Text\tCategory\nstring\td\n\tclass\n\nx\ty\n", "must begin with"),
        (write_rows("a") + b"grain\n", r"line 35: must be a label"),
        (write_rows("a") + b"grain\tone\ttwo\n", r"line 35: must be a label"),
        (write_rows("a") + b"grain\t\xff\n", "UTF-8"),
    ],
)
def test_another_layout_is_refused_where_it_is(broken: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(broken, "train", "a")


def test_parts_share_no_document_and_leave_out_what_training_knows() -> None:
    train = read_table(write_rows("train"), "train", "train")
    test = [*read_table(write_rows("test"), "test", "test"), *train[:4]]
    corpus = make_corpus("r8", train, test, num_validation=7, num_test=30)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (23, 7, 30)
    texts = [document.text for part in (corpus.train, corpus.validation, corpus.test) for document in part]
    assert len(set(texts)) == 60 and corpus.num_leaked == 4
    assert corpus == make_corpus("r8", train, test, num_validation=7, num_test=30)


def test_more_documents_than_there_are_and_unknown_labels_are_refused() -> None:
    train = read_table(write_rows("train"), "train", "train")
    test = read_table(write_rows("test"), "test", "test")
    with pytest.raises(DataError, match="ask for fewer"):
        make_corpus("r8", train, test, num_validation=7, num_test=31)
    with pytest.raises(DataError, match="labels that training has not: ship"):
        make_corpus("r8", train[:2], test, num_validation=1, num_test=1)
