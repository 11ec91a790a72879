"""Comment rules: which comments explain a lowered score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import comments
from assets.rules.comments import OK, VIOLATION, level, levels


@pytest.mark.parametrize(
    "text", ["", " ", "-", "—", "...", "ок", "1234567", "👍👍👍", "\u200b\u200b\u200b", "а.б", "5/5!"]
)
def test_fewer_than_three_letters_explain_nothing(text: str) -> None:
    assert level(text) == VIOLATION


@pytest.mark.parametrize("text", ["нет", "bad", "н.е.т", "нет макета", "ЁЖИК", "1а2б3в"])
def test_three_letters_of_any_alphabet_are_a_comment(text: str) -> None:
    assert level(text) == OK


@given(st.text())
def test_only_letters_decide(text: str) -> None:
    assert level(text) == (OK if sum(character.isalpha() for character in text) >= 3 else VIOLATION)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["", "—", "нет макета", "ок"]), st.booleans())))
def test_only_scores_that_need_an_explanation_are_judged(rows: list[tuple[str, bool]]) -> None:
    texts = pd.Series([text for text, _ in rows], dtype="str")
    asked = np.array([must for _, must in rows], dtype=bool)
    assert levels(texts, asked).tolist() == [level(text) if must else OK for text, must in rows]


def test_each_distinct_comment_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def noting(text: str) -> str:
        judged.append(text)
        return level(text)

    monkeypatch.setattr(comments, "level", noting)
    levels(pd.Series(["—", "нет макета", "—", "—", "не спрошено"]), np.array([True, True, True, True, False]))
    assert sorted(judged) == ["нет макета", "—"]
