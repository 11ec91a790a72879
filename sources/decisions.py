"""What people decided on recommendations and made of signals: read from CSV files and from a smart process.

Belongs here: encodings, separators, headings and words of such files, how a decision's fields become columns. Does not
belong here: HTTP (`bitrix24.py`), whether a decision holds (`assets/rules/decisions.py`).

HR keeps the files in Excel: it writes Windows-1251 or UTF-8, semicolons or commas, and turns 2026-10 into окт.26. A row
that cannot be read stays, with the part that is missing left empty; messages name file and line, never a cell.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from sources.contracts import (
    FIRST_PERIOD,
    DecisionProcess,
    FieldDefinition,
    mapped_values,
    number_and_time,
    written,
)
from sources.csv_file import cells_of, lines_in_words, read_day, read_employee, word_key

logger = logging.getLogger(__name__)

DECISION_COLUMNS = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("ratee_id", pa.int64(), nullable=False),
        pa.field("period", pa.date32()),
        pa.field("decision", pa.string(), nullable=False),
        pa.field("decided_by", pa.int64(), nullable=False),
        pa.field("decided_on", pa.date32()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""The vault dataset `decision`: one row per decision; `number` is the element's id or the line of the file, `ratee_id`
is 0, `period` NULL and `decision` empty where they cannot be read."""

REVIEW_COLUMNS = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("signal_type", pa.string(), nullable=False),
        pa.field("rater_id", pa.int64(), nullable=False),
        pa.field("ratee_id", pa.int64(), nullable=False),
        pa.field("window_to", pa.date32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
    ]
)
"""The vault dataset `review`: one row per signal that somebody looked at; `number` is the line of the file."""

DECISION_HEADINGS = {
    "ratee_id": ("ratee_id", "ID сотрудника", "Сотрудник (ID)", "Номер сотрудника"),
    "period": ("period", "Период"),
    "decision": ("decision", "Решение"),
    "reason": ("reason", "Причина решения", "Причина", "Основание"),
    "decided_by": ("decided_by", "Решил (ID)", "Кто решил (ID)", "Кем принято (ID)"),
    "decided_on": ("decided_on", "Дата решения"),
}
"""Column to the headings it may have; the second one is what `estafeta export scores` writes."""
OPTIONAL = {"decided_by", "decided_on"}

REVIEW_HEADINGS = {
    "signal_type": ("signal_type", "Сигнал"),
    "rater_id": ("rater_id", "ID оценщика", "Оценщик (ID)"),
    "ratee_id": ("ratee_id", "ID сотрудника", "Сотрудник (ID)"),
    "window_to": ("window_to", "Период", "Последний месяц"),
    "status": ("status", "Статус"),
}

OUTCOMES = {
    "accepted": ("accepted", "принято", "принята", "принять"),
    "rejected": ("rejected", "отклонено", "отклонена", "отклонить"),
    "deferred": ("deferred", "отложено", "отложена", "отложить"),
}
"""Decision to the words it may be written in; the second one is what `estafeta export scores` writes."""

STATUSES = {
    "reviewed": ("reviewed", "проверено", "проверен", "рассмотрено", "рассмотрен"),
    "dismissed": ("dismissed", "снято", "снят", "отклонено", "отклонён"),
}

MONTH_NAMES = ("янв", "фев", "мар", "апр", "ма", "июн", "июл", "авг", "сен", "окт", "ноя", "дек")
"""How Russian names of months begin; in this order, for "мар" must be tried before "ма"."""

_MONTH = re.compile(r"(20\d\d)-(\d\d)(?:-\d\d.*)?")
_MONTH_OF_DATE = re.compile(r"(?:\d\d?\.)?(\d\d?)\.(20\d\d)")
_MONTH_IN_WORDS = re.compile(r"([а-я]{3,8})[.\s-]*(?:20)?(\d\d)")


def read_decisions(path: Path, decision_values: Mapping[str, str]) -> pa.Table:
    """Reads HR's file of decisions.

    Args:
        path: a CSV with the columns of `DECISION_HEADINGS`, in any order, among others.
        decision_values: words of one's own for decisions; they win over the usual ones.

    Returns:
        Columns of `DECISION_COLUMNS`, in the order of the file; rows without decision and reason are left out.

    Raises:
        CsvFileError: the file is missing, no CSV, or lacks a column.
    """
    words = _words(OUTCOMES, decision_values)
    rows = [
        _decision_row(number, cells, words)
        for number, cells in cells_of(path, DECISION_HEADINGS, OPTIONAL)
        if cells["decision"] or cells["reason"]
    ]
    unread = [row["number"] for row in rows if not (row["ratee_id"] and row["period"] and row["decision"])]
    if unread:
        logger.warning(
            "decisions: employee, month or decision cannot be read in %s of %s; these rows count for nothing until "
            "they are corrected",
            lines_in_words(unread),
            path.name,
        )
    return pa.Table.from_pylist(rows, DECISION_COLUMNS)


def read_reviews(path: Path, signal_types: Collection[str]) -> pa.Table:
    """Reads HR's file of signals that were looked at.

    Args:
        path: a CSV with the columns of `REVIEW_HEADINGS`, in any order.
        signal_types: codes that signals can have.

    Returns:
        Columns of `REVIEW_COLUMNS`, in the order of the file; rows that cannot be read are left out.

    Raises:
        CsvFileError: the file is missing, no CSV, or lacks a column.
    """
    words = _words(STATUSES, {})
    rows, unread = [], []
    for number, cells in cells_of(path, REVIEW_HEADINGS, set()):
        if not cells["status"]:
            continue
        row = {
            "number": number,
            "signal_type": cells["signal_type"].casefold(),
            "rater_id": read_employee(cells["rater_id"]),
            "ratee_id": read_employee(cells["ratee_id"]),
            "window_to": read_month(cells["window_to"]),
            "status": words.get(word_key(cells["status"]), ""),
        }
        if row["signal_type"] in signal_types and row["rater_id"] and row["window_to"] and row["status"]:
            rows.append(row)
        else:
            unread.append(number)
    if unread:
        logger.warning(
            "reviews: signal type, rater, month or status cannot be read in %s of %s; these rows are left out",
            lines_in_words(unread),
            path.name,
        )
    return pa.Table.from_pylist(rows, REVIEW_COLUMNS)


def decisions_table(
    process: DecisionProcess,
    items: Sequence[Mapping[str, Any]],
    definitions: Mapping[str, FieldDefinition],
    zone: ZoneInfo,
) -> pa.Table:
    """Turns portal elements into the columns of `DECISION_COLUMNS`.

    Args:
        process: where decisions are taken.
        items: records of `crm.item.list`, by rising id.
        definitions: the mapped fields, by REST name.
        zone: the portal's time zone; a decision is of the day on which its element was made.

    Returns:
        One row per element; those without decision and reason are left out.

    Raises:
        ContractBrokenError: an element lacks id, createdTime or a mapped field.
    """
    upper_names = {name: definition.upper_name for name, definition in definitions.items()}
    values = mapped_values(process, process.fields.names(), items, upper_names)
    options = {role: definitions[name].option_texts() for role, name in process.fields.names().items()}
    words = _words(OUTCOMES, process.decision_values)
    rows = []
    for place, item in enumerate(items):
        cells = {role: written(column[place], options[role]) for role, column in values.items()}
        cells["ratee_id"] = str(read_employee(values["ratee"][place]))
        if "decided_by" in values:
            cells["decided_by"] = str(read_employee(values["decided_by"][place]))
        if not cells["decision"] and not cells["reason"]:
            continue
        number, made = number_and_time(process, item)
        rows.append(_decision_row(number, cells, words) | {"decided_on": made.astimezone(zone).date()})
    return pa.Table.from_pylist(rows, DECISION_COLUMNS)


def read_month(text: str) -> date | None:
    """A month as 2026-10, 2026-10-01, 10.2026, 01.10.2026, окт.26 or октябрь 2026; None for anything else."""
    text = text.strip().casefold()
    if match := _MONTH.fullmatch(text):
        return _first_day(int(match[1]), int(match[2]))
    if match := _MONTH_OF_DATE.fullmatch(text):
        return _first_day(int(match[2]), int(match[1]))
    if match := _MONTH_IN_WORDS.fullmatch(text):
        numbers = [place for place, name in enumerate(MONTH_NAMES, 1) if match[1].startswith(name)]
        return _first_day(2000 + int(match[2]), numbers[0]) if numbers else None
    return None


def _first_day(year: int, month: int) -> date | None:
    return date(year, month, 1) if 1 <= month <= 12 and year >= FIRST_PERIOD.year else None


def read_outcome(text: str, own: Mapping[str, str]) -> str:
    """A decision in one's own or the usual words as accepted, rejected or deferred; empty for anything else."""
    return _words(OUTCOMES, own).get(word_key(text), "")


def _decision_row(number: int, cells: Mapping[str, str], words: Mapping[str, str]) -> dict[str, Any]:
    return {
        "number": number,
        "ratee_id": read_employee(cells["ratee_id"]),
        "period": read_month(cells["period"]),
        "decision": words.get(word_key(cells["decision"]), ""),
        "decided_by": read_employee(cells.get("decided_by", "")),
        "decided_on": read_day(cells.get("decided_on", "")),
        "reason": cells["reason"],
    }


def _words(usual: Mapping[str, Sequence[str]], own: Mapping[str, str]) -> dict[str, str]:
    """Written word to what it means."""
    known = {word_key(word): meaning for meaning, words in usual.items() for word in words}
    return known | {word_key(word): meaning for word, meaning in own.items()}
