"""What two heads agreed, read from the CSV file in which they keep it.

Belongs here: headings and words of such files. Does not belong here: which department or process a word means
(`assets/rules/agreements.py`), encodings and separators (`csv_file.py`).

The file is an agenda kept by people in Excel: a line that cannot be read is named in a warning by its number, never
quoted, and left out.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa

from sources.csv_file import cells_of, lines_in_words, read_day, read_employee

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

_YES = {"да", "1", "true", "yes", "сделано", "готово", "+"}


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
                "is_done": cells.get("done", "").strip().casefold() in _YES,
            }
        )
    if unread:
        logger.warning(
            "agreements: the day or the text is missing in %s of %s; these rows are left out",
            lines_in_words(unread),
            path.name,
        )
    return pa.Table.from_pylist(rows, AGREEMENT_COLUMNS)
