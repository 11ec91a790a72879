"""Who is told that a month is ready to be talked over, and in which words.

Belongs here: whom, what. Does not belong here: when a month is closed, sending (`assets/agenda.py`).

A message names departments and the month, never a figure: it is read on phones, in corridors, over shoulders.
"""

from __future__ import annotations

from datetime import date

import pandas as pd

MONTHS = (
    "январь", "февраль", "март", "апрель", "май", "июнь", "июль", "август", "сентябрь", "октябрь", "ноябрь", "декабрь",
)  # fmt: skip


def invitations(pairs: pd.DataFrame, month: date, link: str) -> dict[int, str]:
    """One message for each head who has somebody to talk with.

    Args:
        pairs: pairs with published rows of the month: `rater_department, rater_head, ratee_department, ratee_head`;
            a head is 0 if the department has none.
        month: first day of the closed month.
        link: address of the dashboard.

    Returns:
        Head to message. Who heads both sides of a pair talks with nobody about it.
    """
    sides = pd.concat(
        [
            pairs.set_axis(["other", "other_head", "own", "head"], axis=1),
            pairs.set_axis(["own", "head", "other", "other_head"], axis=1),
        ],
        ignore_index=True,
    )
    sides = sides[sides["head"].ne(0) & sides["other_head"].ne(0) & sides["head"].ne(sides["other_head"])]
    partners = sides.groupby("head")["other"].agg(lambda names: ", ".join(sorted(set(names))))
    return {
        head: (
            f"Закрыты оценки за {MONTHS[month.month - 1]} {month.year}. Есть что обсудить с отделами: {names}. "
            f"Дашборд «Взаимодействие отделов»: {link}"
        )
        for head, names in zip(partners.index.astype(int).tolist(), partners.tolist(), strict=True)
    }
