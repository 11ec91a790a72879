from __future__ import annotations

from datetime import date

import pandas as pd

from assets.rules.agenda import invitations

COLUMNS = ["rater_department", "rater_head", "ratee_department", "ratee_head"]


def test_both_heads_are_told_of_each_other_once_and_without_a_figure() -> None:
    pairs = pd.DataFrame([("Сайт", 126, "Маркетинг", 46), ("Маркетинг", 46, "Сайт", 126)], columns=COLUMNS)
    told = invitations(pairs, date(2026, 10, 1), "https://example.org/x")
    assert told == {
        46: "Закрыты оценки за октябрь 2026. Есть что обсудить с отделами: Сайт. "
        "Дашборд «Взаимодействие отделов»: https://example.org/x",
        126: "Закрыты оценки за октябрь 2026. Есть что обсудить с отделами: Маркетинг. "
        "Дашборд «Взаимодействие отделов»: https://example.org/x",
    }


def test_who_has_nobody_to_talk_with_is_told_nothing() -> None:
    alone = [("Сайт", 126, "Сайт", 126), ("Группа", 126, "Сайт", 126), ("Без главы", 0, "Кадры", 70)]
    assert invitations(pd.DataFrame(alone, columns=COLUMNS), date(2026, 10, 1), "x") == {}
    assert invitations(pd.DataFrame([], columns=COLUMNS), date(2026, 10, 1), "x") == {}
