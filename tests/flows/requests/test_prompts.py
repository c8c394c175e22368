from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from flows.requests.prompts import check_plain, normalize, split_prompts, subject_file
from oft.datasets.dreambooth import read_prompts, read_subjects
from oft.errors import ParamsError
from oft.prepare.subjects import fill_prompt


@pytest.mark.parametrize(
    ("instance", "of_class", "identifier", "class_name"),
    [
        ("a photo of sks robot", "a photo of robot", "sks", "robot"),
        ("a sks dog", "a dog", "sks", "dog"),
        ("sks dog", "dog", "sks", "dog"),
        ("a photo of ohwx toy car on a table", "a photo of toy car on a table", "ohwx", "toy car on a table"),
        ("ein Foto von zwx Bär", "ein Foto von Bär", "zwx", "Bär"),
        ("sks रोबोट की तस्वीर", "रोबोट की तस्वीर", "sks", "रोबोट की तस्वीर"),
        ("ภาพถ่าย ของ sks หุ่นยนต์", "ภาพถ่าย ของ หุ่นยนต์", "sks", "หุ่นยนต์"),
        ("תְּמוּנָה שֶׁל sks רוֹבּוֹט", "תְּמוּנָה שֶׁל רוֹבּוֹט", "sks", "רוֹבּוֹט"),
        ("একটি sks র\u200d্যাম", "একটি র\u200d্যাম", "sks", "র\u200d্যাম"),
        ("عکس sks روبات\u200cها", "عکس روبات\u200cها", "sks", "روبات\u200cها"),
    ],
)
def test_two_prompts_name_subject_and_class_and_are_made_of_them_again(
    instance: str, of_class: str, identifier: str, class_name: str
) -> None:
    subject = split_prompts(check_plain(instance), check_plain(of_class))
    assert (subject.identifier, subject.class_name) == (identifier, class_name)
    assert fill_prompt(subject.instance_prompt, identifier, class_name) == normalize(instance)
    assert fill_prompt(subject.class_prompt, identifier, class_name) == normalize(of_class)


def test_a_mac_s_accents_are_those_of_others() -> None:
    decomposed = unicodedata.normalize("NFD", "une photo de zwx théière")
    assert "é" not in decomposed
    assert check_plain(decomposed) == "une photo de zwx théière"
    assert split_prompts(decomposed, "une photo de théière").class_name == "théière"


@pytest.mark.parametrize(
    "prompt",
    [
        "\u0301a", "a \u0301b", "a\u200d b\u202e", "a .\u0301", "\u200da", "a \u200d", " a", "a ", "a  b", "",
        "a\u00a0b", "a\tb", "a\u200d\u200db", "a \u200d\u0301",
    ],
)  # fmt: skip
def test_marks_stand_on_letters_and_spaces_between_words(prompt: str) -> None:
    with pytest.raises(ValueError, match="must be one line of words"):
        check_plain(prompt)


@pytest.mark.parametrize(
    ("instance", "of_class"),
    [
        ("a photo of robot", "a photo of robot"),
        ("a photo of sks red robot", "a photo of robot"),
        ("a photo of robot sks", "a photo of robot"),
        ("a painting of sks robot", "a photo of robot"),
        ("a photo of robot robot", "a photo of robot"),
        ("robot", "a photo of robot"),
    ],
)
def test_prompts_that_differ_otherwise_are_refused_with_an_example(instance: str, of_class: str) -> None:
    with pytest.raises(ParamsError, match="'a photo of sks robot' for class_prompt 'a photo of robot'"):
        split_prompts(instance, of_class)


@pytest.mark.parametrize("class_name", ["robot", "dog", "toy car, red"])
def test_the_reader_of_the_pipeline_finds_what_was_written(tmp_path: Path, class_name: str) -> None:
    prompts = [
        "a photo of sks robot",
        "the sks robot's friend, 50%",
        "a (sks) robot & 'co'",
        "sks रोबोट की तस्वीर",
        "روبات\u200cها",
        "sks র\u200d্যাম",
    ]
    name, text = subject_file("instance", class_name, prompts)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / name).write_text(text, encoding="utf-8")
    assert read_subjects(tmp_path) == {"instance": class_name}
    for live in (False, True):
        assert [template.format("x", "y") for template in read_prompts(tmp_path, live)] == prompts
