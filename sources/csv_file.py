"""CSV files that people keep in Excel: encodings, separators, headings, and days and employees as they are written.

Belongs here: what every such file has in common. Does not belong here: which columns a file has (`decisions.py`,
`agreements.py`).

Excel writes Windows-1251 or UTF-8, semicolons or commas. Messages name file and line, never a cell.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from sources.contracts import MOST_PERSON_ID

MOST_LINES = 20
"""So many lines are named in one message."""

_DAY = re.compile(r"(\d\d?)\.(\d\d?)\.(20\d\d)")
_EMPLOYEE = re.compile(r"(?:user_)?(\d{1,10})", re.IGNORECASE)
DEFUSED = re.compile(r"^'(?=[=+\-@\t\r])")
"""What a cell begins with that must not be read as a formula: `estafeta export scores` puts it there."""


class CsvFileError(Exception):
    """A CSV file cannot be used; the message names the file and never quotes it."""


def read_employee(value: object) -> int:
    """An employee as 12, "12", "user_12" or a list of one; 0 for whatever names nobody."""
    if isinstance(value, list):
        value = value[0] if value else ""
    match = _EMPLOYEE.fullmatch(str(value).strip())
    number = int(match[1]) if match else 0
    return number if number < MOST_PERSON_ID else 0


def read_day(text: str) -> date | None:
    """A day as 2026-11-03 or 03.11.2026, with or without a time; None for anything else."""
    text = text.strip().split(" ")[0]
    match = _DAY.fullmatch(text)
    try:
        return date(int(match[3]), int(match[2]), int(match[1])) if match else date.fromisoformat(text[:10])
    except ValueError:
        return None


def word_key(text: str) -> str:
    """A word without regard to case, ё and spaces around it."""
    return text.strip().casefold().replace("ё", "е")


def lines_in_words(numbers: Sequence[int]) -> str:
    """Numbers of lines for a message: the first ones, and whether there are more."""
    named = ", ".join(map(str, numbers[:MOST_LINES])) + (" and more" if len(numbers) > MOST_LINES else "")
    return f"line {named}" if len(numbers) == 1 else f"lines {named}"


def cells_of(path: Path, headings: Mapping[str, Sequence[str]], optional: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Reads a CSV: the number of each row's last line, and its cells by column.

    Args:
        path: the file.
        headings: column to the headings it may have.
        optional: columns that may be missing; their cells are missing then.

    Raises:
        CsvFileError: the file is missing, no CSV, or lacks a column.
    """
    text = _text_of(path)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(";,\t", key=first.count))
    lines: list[tuple[int, list[str]]] = []
    broken = False
    try:
        lines += ((reader.line_num, row) for row in reader)
    except csv.Error:
        broken = True
    if broken:
        raise CsvFileError(f"{path} is no CSV from line {reader.line_num} on: save the table as CSV again.")
    written = [word_key(heading) for heading in lines[0][1]] if lines else []
    places = {
        column: [place for place, heading in enumerate(written) if heading in {word_key(name) for name in names}]
        for column, names in headings.items()
    }
    for column, found in places.items():
        names = " or ".join(headings[column])
        if len(found) > 1:
            raise CsvFileError(f"{path} has {len(found)} columns {column} ({names}): keep one.")
        if not found and column not in optional:
            raise CsvFileError(f"{path} has no column {column}: its first line must hold the heading {names}.")
    return [
        (
            number,
            {
                column: DEFUSED.sub("", row[found[0]].strip(), count=1) if found[0] < len(row) else ""
                for column, found in places.items()
                if found
            },
        )
        for number, row in lines[1:]
    ]


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        problem = "does not exist: correct its name in the configuration, or put the file there"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    else:
        if content.startswith(b"PK"):
            problem = "is an Excel workbook: save it as CSV"
        else:
            for encoding in ("utf-8-sig", "cp1251"):
                try:
                    return content.decode(encoding)
                except UnicodeDecodeError:
                    continue
            problem = "is neither UTF-8 nor Windows-1251: save the table as CSV again"
    raise CsvFileError(f"{path} {problem}.")
