"""The table that the committee decides over: recommendations of one half-year with their figures, for Excel.

Belongs here: which rows and columns it has, how Russian Excel reads it. Does not belong here: how a recommendation
comes about (`assets/rules/scoring.py`), reading the table back with decisions in it (`sources/decisions.py`).

Rows are sorted by department and name, never by a figure: the table is no ranking.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from assets.periods import key_of, months_back, period_of
from assets.rules.decisions import HIDDEN, NAMED
from sources.decisions import DECISION_HEADINGS, OUTCOMES
from warehouse_sql.warehouse import Warehouse

Scope = Literal["named", "hidden", "all"]
SCOPES = {NAMED: "по именным оценкам", HIDDEN: "по скрытым оценкам"}

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What Excel takes for the beginning of a formula."""

REMARKS = {
    "unknown_decision": "не учтено: решение не распознано",
    "unexplained": "не учтено: причина ничего не объясняет",
}
"""Why a decision on a recommendation does not count, for people; other codes have no recommendation to stand beside."""

YES = "да"

_TAKEN = {column: headings[1] for column, headings in DECISION_HEADINGS.items()}
"""Headings that the reader of decisions knows: the table comes back with decisions filled in."""

COLUMNS = {
    "Отдел": "department",
    "Сотрудник": "full_name",
    "Должность": "position",
    _TAKEN["ratee_id"]: "ratee_id",
    "Основа": "basis",
    "Первый месяц": "first_month",
    _TAKEN["period"]: "last_month",
    "Рекомендация": "band",
    "Пояснение": "explanation",
    "Оценок": "ratings",
    "Оценщиков": "raters",
    "Месяцев с оценками": "months",
    "Оценок с учётом предела на пару": "effective_ratings",
    "Охват": "coverage",
    "Средняя оценка": "mean_score",
    "Доля пятёрок": "share_of_fives",
    "Скорректированная доля пятёрок": "adjusted_share",
    "Нижняя граница": "lower_bound",
    "Верхняя граница": "upper_bound",
    "Группа сравнения": "component",
    "Доля пятёрок в группе": "component_share",
    "Доля без пар под вопросом": "sensitivity_share",
    "Рекомендация без пар под вопросом": "sensitivity_band",
    _TAKEN["decision"]: "decision",
    _TAKEN["reason"]: "reason",
    _TAKEN["decided_by"]: "decided_by",
    _TAKEN["decided_on"]: "decided_on",
    "Расходится с рекомендацией": "is_different",
    "Замечание к решению": "remark",
    "Полугодие закрыто": "is_frozen",
    "Версия метода": "method_version",
}
"""Heading to what stands below it."""

WINDOWS = "SELECT scope, window_to, min(is_frozen) AS is_frozen FROM hr.fct_score GROUP BY scope, window_to"
SCORES = """
    SELECT score.*, employee.full_name AS full_name, employee.position AS position, department.name AS department
    FROM hr.fct_score AS score
    LEFT JOIN (SELECT employee_id, full_name, position, department_id FROM dwh.dim_employee WHERE is_current)
        AS employee ON employee.employee_id = score.ratee_id
    LEFT JOIN (SELECT department_id, name FROM dwh.dim_department WHERE is_current)
        AS department ON department.department_id = employee.department_id
    WHERE score.scope = {scope:String} AND score.window_to = {window:Date}
"""
DECISIONS = """
    SELECT * FROM hr.fct_decision WHERE scope = {scope:String} AND period = {window:Date}
    ORDER BY is_counted, ifNull(decided_on, toDate(0)), number
"""


class ExportError(Exception):
    """There is nothing to write, or it cannot be written."""


def committee_table(warehouse: Warehouse, month: str, scope: Scope) -> tuple[bytes, list[str]]:
    """Makes the committee's CSV: UTF-8 with a mark, semicolons and decimal commas, as Russian Excel opens it.

    Args:
        warehouse: where; only `hr` and the names of today are read.
        month: last month of the half-year, as 2026-10.
        scope: which recommendations. Hidden ones are given for January to June and July to December: those of the
            last such half-year that ended within the half-year asked for.

    Returns:
        The file's content, and the half-years in it that are not closed yet, as 2026-05..2026-10.

    Raises:
        ExportError: nothing was recommended for that month.
    """
    if warehouse.path is not None and not warehouse.path.exists():
        raise ExportError(f"There is no warehouse in {warehouse.path} yet: start `estafeta run` first.")
    asked = period_of(month)
    rows: list[dict[str, Any]] = []
    with warehouse.session("export") as db:
        windows = db.rows(WINDOWS)
        for name in SCOPES if scope == "all" else [scope]:
            window = _window(windows, name, asked)
            if window:
                chosen = {"scope": name, "window": window.isoformat()}
                rows += _rows(db.rows(SCORES, chosen), db.rows(DECISIONS, chosen))
    if not rows:
        raise ExportError(_nothing(windows, month, scope))
    rows.sort(key=lambda row: (row["department"], row["full_name"], row["ratee_id"], row["scope"] != NAMED))
    still_open = sorted({f"{row['first_month']}..{row['last_month']}" for row in rows if not row["is_frozen"]})
    return _csv(rows), still_open


def write_owner_only(path: Path, content: bytes) -> None:
    """Writes a file that nobody but its owner can read, whole or not at all.

    Raises:
        ExportError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    problem = ""
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        temporary.unlink(missing_ok=True)
        raise ExportError(f"{path} cannot be written ({problem}): name another file with --out.")


def _window(windows: Iterable[Mapping[str, Any]], scope: str, asked: date) -> date | None:
    """Last month of the half-year of a scope that is meant by a month."""
    known = [row["window_to"] for row in windows if row["scope"] == scope]
    if scope == HIDDEN:
        return max((month for month in known if months_back(asked, 6)[0] <= month <= asked), default=None)
    return asked if asked in known else None


def _nothing(windows: Iterable[Mapping[str, Any]], month: str, scope: Scope) -> str:
    known = sorted({row["window_to"] for row in windows if scope in (row["scope"], "all")})
    if not known:
        return (
            "No recommendation was published yet: start `estafeta run`; hidden ones appear when all months of a "
            "half-year are closed."
        )
    return (
        f"No half-year that ends in {month} has recommendations: there are some for {len(known)} months from "
        f"{key_of(known[0])} to {key_of(known[-1])}; correct --period or --scope."
    )


def _rows(scores: list[dict[str, Any]], decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores with the decision on each: the one that counts, else the latest of those that do not."""
    decided = {row["ratee_id"]: row for row in decisions}
    rows = []
    for score in scores:
        made = decided.get(score["ratee_id"], {})
        by, on = made.get("decided_by"), made.get("decided_on")
        row = score | {
            "department": score["department"] or "",
            "full_name": score["full_name"] or "",
            "basis": SCOPES[score["scope"]],
            "first_month": key_of(score["window_from"]),
            "last_month": key_of(score["window_to"]),
            "decision": OUTCOMES[made["decision"]][1] if made.get("decision") else "",
            "reason": made.get("reason"),
            "decided_by": by or None,
            "decided_on": f"{on:%d.%m.%Y}" if on else "",
            "is_different": made.get("is_different", False),
            "remark": REMARKS.get(made.get("exclusion_code", ""), ""),
        }
        rows.append(row)
    return rows


def _csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in COLUMNS.values()])
    return text.getvalue().encode("utf-8-sig")


def _cell(value: object) -> str:
    """A value as Russian Excel reads it; a text that it would take for a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return YES if value else ""
    if isinstance(value, float):
        return f"{value:g}".replace(".", ",")
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
