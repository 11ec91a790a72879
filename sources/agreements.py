"""What two heads agreed, read from the CSV file or the smart process in which they keep it.

Belongs here: headings and words of such files, how an element's fields become columns. Does not belong here: HTTP
(`bitrix24.py`), which department or process a word means (`assets/rules/agreements.py`), encodings and separators
(`csv_file.py`).

The file is an agenda kept by people in Excel: a line that cannot be read is named in a warning by its number, never
quoted, and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from sources.contracts import AgreementProcess, FieldDefinition, mapped_values, number_and_time, written
from sources.csv_file import cells_of, lines_in_words, read_day, read_employee, word_key

logger = logging.getLogger(__name__)

AGREEMENT_COLUMNS = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("agreed_on", pa.date32(), nullable=False),
        pa.field("process", pa.string(), nullable=False),
        pa.field("rater_department", pa.string(), nullable=False),
        pa.field("ratee_department", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("owner_id", pa.int64(), nullable=False),
        pa.field("due", pa.date32()),
        pa.field("is_done", pa.bool_(), nullable=False),
    ]
)
"""The vault dataset `agreement`: one row per line that says when and what; departments, process and reason as
written."""

AGREEMENT_HEADINGS = {
    "agreed_on": ("agreed_on", "Договорились", "Дата"),
    "process": ("process", "Процесс"),
    "rater_department": ("rater_department", "Исполнитель", "Отдел-исполнитель"),
    "ratee_department": ("ratee_department", "Постановщик", "Отдел-постановщик"),
    "reason": ("reason", "Причина"),
    "text": ("text", "О чём договорились", "Договорённость"),
    "owner": ("owner", "Ответственный (ID)", "Ответственный"),
    "due": ("due", "Срок"),
    "done": ("done", "Сделано"),
}
"""Column to the headings it may have."""
OPTIONAL = {"reason", "owner", "due", "done"}

_YES = {"да", "1", "true", "y", "yes", "сделано", "готово", "+"}


def read_agreements(path: Path) -> pa.Table:
    """Reads the heads' file.

    Args:
        path: a CSV with the columns of `AGREEMENT_HEADINGS`, in any order, among others.

    Returns:
        Columns of `AGREEMENT_COLUMNS`, in the order of the file.

    Raises:
        CsvFileError: the file is missing, no CSV, or lacks a column.
    """
    rows, unread = [], []
    for number, cells in cells_of(path, AGREEMENT_HEADINGS, OPTIONAL):
        if not any(cells.values()):
            continue
        agreed_on = read_day(cells["agreed_on"])
        if agreed_on is None or not cells["text"]:
            unread.append(number)
            continue
        rows.append(
            {
                "number": number,
                "agreed_on": agreed_on,
                "process": cells["process"],
                "rater_department": cells["rater_department"],
                "ratee_department": cells["ratee_department"],
                "reason": cells.get("reason", ""),
                "text": cells["text"],
                "owner_id": read_employee(cells.get("owner", "")),
                "due": read_day(cells.get("due", "")),
                "is_done": word_key(cells.get("done", "")) in _YES,
            }
        )
    if unread:
        logger.warning(
            "agreements: the day or the text is missing in %s of %s; these rows are left out",
            lines_in_words(unread),
            path.name,
        )
    return pa.Table.from_pylist(rows, AGREEMENT_COLUMNS)


def agreements_table(
    process: AgreementProcess,
    items: Sequence[Mapping[str, Any]],
    definitions: Mapping[str, FieldDefinition],
    zone: ZoneInfo,
) -> pa.Table:
    """Turns portal elements into the columns of `AGREEMENT_COLUMNS`.

    Args:
        process: where agreements are kept.
        items: records of `crm.item.list`, by rising id.
        definitions: the mapped fields, by REST name.
        zone: the portal's time zone; an agreement without a day of its own is of the day its element was made.

    Returns:
        One row per element that has a text.

    Raises:
        ContractBrokenError: an element lacks id, createdTime or a mapped field.
    """
    upper_names = {name: definition.upper_name for name, definition in definitions.items()}
    values = mapped_values(process, process.fields.names(), items, upper_names)
    options = {role: definitions[name].option_texts() for role, name in process.fields.names().items()}
    rows = []
    for place, item in enumerate(items):
        cells = {role: written(column[place], options[role]) for role, column in values.items()}
        number, made = number_and_time(process, item)
        if not cells["text"]:
            continue
        rows.append(
            {
                "number": number,
                "agreed_on": read_day(cells.get("agreed_on", "")) or made.astimezone(zone).date(),
                "process": cells["process"],
                "rater_department": cells["rater_department"],
                "ratee_department": cells["ratee_department"],
                "reason": cells.get("reason", ""),
                "text": cells["text"],
                "owner_id": read_employee(values["owner"][place]) if "owner" in values else 0,
                "due": read_day(cells.get("due", "")),
                "is_done": word_key(cells.get("done", "")) in _YES,
            }
        )
    return pa.Table.from_pylist(rows, AGREEMENT_COLUMNS)
