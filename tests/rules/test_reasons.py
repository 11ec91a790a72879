"""Reasons of a lowered score: cues in the comment, the form, and the labelled sets."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import reasons
from assets.rules.lexicon import LexiconError, sections
from assets.rules.text import normal_form, tokens

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("code", "example", "counter_example"),
    [
        ("brief", "В задаче не указано, какие размеры у баннера", "Описание подробное, но прислали после обеда"),
        ("materials", "Исходники макета так и не прислали", "Исходники на месте, но тон приказной"),
        ("deadline", "Дали два часа на годовой отчёт", "Срок нормальный, но нет доступа к базе"),
        ("change", "Требования поменяли после утверждения", "Требования прежние, но перепутан ИНН контрагента"),
        ("errors", "В счёте перепутан ИНН контрагента", "Счёт верный, но на письма не отвечает"),
        ("communication", "На вопросы не отвечает неделями", "Отвечает сразу, но хамит"),
        ("acceptance", "Вернул на доработку без объяснения причин", "Приняли сразу, но доступа к базе не дали"),
        ("process", "Задачу надиктовал по телефону, в системе ничего нет", "Всё через портал, но срок был вчера"),
        ("wrong_addressee", "Это к юристам, а не к нам", "Юристы ответили, но срок был вчера"),
        ("tone", "Накричал при всех", "Был вежлив, но срок нереальный"),
        ("priority", "Всё срочно, что делать первым, непонятно", "Порядок ясен, но макет не приложен"),
        ("duplicate", "Такая же задача уже была в мае, дубль", "Задача новая, но описания нет"),
        ("other", "Из-за задачи вышли в субботу", "Материалы прислали, когда срок уже прошёл"),
    ],
)
def test_a_reason_is_found_where_it_is_told_and_only_there(code: str, example: str, counter_example: str) -> None:
    assert reasons.tag(example)[:1] == (code,)
    assert code not in reasons.tag(counter_example)


@pytest.mark.parametrize(
    ("with_negation", "without", "code"),
    [
        ("Макета нет", "Макет есть", "materials"),
        ("Файлы не приложены", "Файлы приложены", "materials"),
        ("На звонки не отвечает", "На звонки ответил сразу", "communication"),
        ("Access was not granted", "Access was granted", "materials"),
    ],
)
def test_a_thing_named_without_a_negation_is_weaker_than_one_that_is_missing(
    with_negation: str, without: str, code: str
) -> None:
    missing, present = (reasons.cues(tokens(normal_form(text))) for text in (with_negation, without))
    assert missing.tags == (code,)
    assert missing.weight >= reasons.STRONG > present.weight


def test_two_complaints_in_one_comment_give_two_reasons() -> None:
    assert set(reasons.tag("ТЗ пустое, и орёт на всех")) == {"brief", "tone"}


def test_one_complaint_said_at_length_stays_one_reason() -> None:
    assert reasons.tag("Не отвечает ни на письма, ни на звонки, молчит, полный игнор") == ("communication",)


@pytest.mark.parametrize("text", ["неуказаны размеры", "нериальный срок", "опичатка в фамилии", "НЕ ПРИЛОЖИЛИ ДОГОВОР"])
def test_misspelt_and_shouted_words_are_understood(text: str) -> None:
    assert reasons.cues(tokens(normal_form(text))).weight >= reasons.STRONG


@pytest.mark.parametrize(("text", "code"), [("ytn vfrtnf", "materials"), ("net maketa", "materials")])
def test_a_wrong_layout_and_latin_letters_are_read_as_meant(text: str, code: str) -> None:
    assert reasons.tag(text) == (code,)


@pytest.mark.parametrize("text", ["", " ", "-", "....", "👍", "12345", "ыыы", "хорошо", "так себе"])
def test_a_comment_without_a_complaint_has_no_reason(text: str) -> None:
    assert reasons.tag(text) == ()


def test_hits_name_the_words_that_speak_for_the_reason() -> None:
    found = reasons.cues(tokens(normal_form("Вчера весь отдел видел, как он хамит")))
    assert found.tags == ("tone",)
    assert "хамит" in found.hits
    assert "видел" not in found.hits


def test_words_of_the_list_are_told_from_words_it_lacks() -> None:
    assert reasons.is_listed("хамит")
    assert not reasons.is_listed("бегемот")


def _tagged(comment: str, form: str = "", *, is_low: bool = True) -> tuple[str, str]:
    found = reasons.tag_all(
        pd.Series([",".join(reasons.tag(comment))], dtype=object), pd.Series([form], dtype=object), np.array([is_low])
    )
    return found["codes"].iloc[0], found["source"].iloc[0]


@pytest.mark.parametrize("form", ["Грубый тон", "  ГРУБЫЙ ТОН ", "tone", "Хамство и грубость"])
def test_what_the_form_says_wins_over_the_comment(form: str) -> None:
    assert _tagged("Срок был вчера", form) == ("tone", reasons.FORM)


def test_a_form_value_that_nobody_knows_is_other() -> None:
    assert _tagged("Срок был вчера", "Ретроградный Меркурий") == ("other", reasons.FORM)


def test_without_a_form_value_the_comment_speaks() -> None:
    assert _tagged("Срок был вчера") == ("deadline", reasons.AUTO)


def test_a_comment_nobody_understands_is_untagged() -> None:
    assert _tagged("бегемот") == (reasons.UNTAGGED, reasons.AUTO)


@pytest.mark.parametrize("form", ["Другое", "Другая причина", "Всё хорошо"])
def test_a_form_value_that_only_hints_is_other(form: str) -> None:
    assert _tagged("Срок был вчера", form) == ("other", reasons.FORM)


@pytest.mark.parametrize("form", ["", " ", "—", "Нет", "Не выбрано", "(не указано)"])
def test_a_form_value_that_means_nothing_chosen_leaves_it_to_the_comment(form: str) -> None:
    assert _tagged("Срок был вчера", form) == ("deadline", reasons.AUTO)


def test_a_rating_that_needs_no_reason_has_none() -> None:
    assert _tagged("Срок был вчера", "Грубый тон", is_low=False) == ("", "")


def test_rows_keep_their_reasons_whatever_stands_beside_them() -> None:
    found = reasons.tag_all(
        pd.Series(["tone", "", "tone", "deadline,change"], index=[7, 5, 3, 1], dtype=object),
        pd.Series(["", "", "Дубли", ""], index=[7, 5, 3, 1], dtype=object),
        np.array([True, False, True, True]),
    )
    assert found["codes"].to_dict() == {7: "tone", 5: "", 3: "duplicate", 1: "deadline,change"}
    assert found["source"].to_dict() == {7: "auto", 5: "", 3: "form", 1: "auto"}


def test_every_word_of_the_list_can_stand_in_a_comment() -> None:
    for section, entries in sections("reasons").items():
        for entry in entries:
            for word in re.split(r"[&+\s]+", entry):
                if word[0] not in "@<?":
                    assert tokens(word.removesuffix("*")) == [word.removesuffix("*")], f"{section}: {entry}"
            assert not section.startswith("@") or not set(" +&") & set(entry), f"{section}: {entry}"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=300))
def test_any_text_gets_an_answer(comment: str) -> None:
    assert set(reasons.tag(comment)) <= set(reasons.REASONS)


@pytest.mark.parametrize(
    "comment",
    [
        "не тз нет макет " * 7_000,
        "я" * 100_000,
        "\ud800нет макета\udfff",
        "нет," * 30_000,
        "17:55 " * 20_000,
        "? " * 50_000,
    ],
    ids=["words", "one word", "lone surrogates", "clauses", "times", "questions"],
)
def test_huge_and_broken_texts_get_an_answer(comment: str) -> None:
    assert set(reasons.tag(comment)) <= set(reasons.REASONS)


def _real(name: str) -> list[tuple[str, set[str]]]:
    with (DATA / f"comments_{name}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        (
            re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), row["text"]),
            set(row["reasons"].split(",")) - {""},
        )
        for row in rows
        if row["label"] == "real"
    ]


@pytest.mark.parametrize("name", ["office", "works", "prototype"])
def test_the_labelled_sets_reach_their_figures(name: str) -> None:
    rows = [(set(reasons.tag(text)), labelled) for text, labelled in _real(name)]
    agreed = sum(len(tagged & labelled) for tagged, labelled in rows)
    told = sum(len(tagged) + len(labelled) for tagged, labelled in rows)
    untagged = sum(not tagged for tagged, _ in rows)
    assert 2 * agreed / told >= 0.9
    assert untagged / len(rows) <= 0.02


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"tonne": ("хамить",)}, "tonne"),
        ({"tone loudly": ("хамить",)}, "tone loudly"),
        ({"tone": ("@swearing",)}, "@swearing"),
        ({"tone": ("орать+",)}, "орать"),
    ],
    ids=["unknown reason", "unknown strength", "unknown class", "unfinished cue"],
)
def test_a_mistake_in_the_list_is_named(
    listed: dict[str, tuple[str, ...]], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "sections", lambda _: listed)
    with pytest.raises(LexiconError, match=message):
        reasons._lexicon.__wrapped__()
