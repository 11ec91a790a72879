from __future__ import annotations

import pandas as pd

from assets.rules.agreements import resolve

DEPARTMENTS = {7: "Аккаунтинг", 8: "Продажи", 9: "Отдел", 10: "отдел "}
PROCESSES = {"site": "Доработка сайта"}
REASONS = {"brief": "Неясная постановка"}


def line(number: int, process: str, rater: str, ratee: str, reason: str = "") -> dict[str, object]:
    return {
        "number": number,
        "process": process,
        "rater_department": rater,
        "ratee_department": ratee,
        "reason": reason,
        "text": "Текст",
    }


def test_numbers_keys_names_and_titles_mean_the_same() -> None:
    written = pd.DataFrame(
        [line(2, "site", "7", "8", "brief"), line(3, " Доработка САЙТА", "аккаунтинг", "Продажи", "неясная постановка")]
    )
    found, lost = resolve(written, DEPARTMENTS, PROCESSES, REASONS)
    assert lost == []
    for row in found.to_dict("records"):
        assert (row["process_key"], row["rater_department_id"], row["ratee_department_id"]) == ("site", 7, 8)
        assert row["reason_code"] == "brief"


def test_a_name_that_two_departments_have_means_neither() -> None:
    written = pd.DataFrame([line(2, "site", "Отдел", "8"), line(3, "site", "9", "8")])
    found, lost = resolve(written, DEPARTMENTS, PROCESSES, REASONS)
    assert lost == [2]
    assert found["rater_department_id"].tolist() == [9]


def test_unknown_processes_and_departments_are_left_out_and_an_unknown_reason_is_none() -> None:
    written = pd.DataFrame([line(2, "shop", "7", "8"), line(3, "site", "77", "8"), line(4, "site", "7", "8", "лень")])
    found, lost = resolve(written, DEPARTMENTS, PROCESSES, REASONS)
    assert lost == [2, 3]
    assert found["reason_code"].tolist() == [""]


def test_no_agreements_give_no_rows() -> None:
    found, lost = resolve(pd.DataFrame([line(2, "", "", "")]).iloc[:0], DEPARTMENTS, PROCESSES, REASONS)
    assert (len(found), lost) == (0, [])
