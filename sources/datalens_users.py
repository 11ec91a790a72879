"""Who is who in DataLens, read from the CSV file that an administrator keeps.

Belongs here: headings and words of that file. Does not belong here: who may see what (`datalens_specs/entries.py`).

A line that cannot be read gives nobody a right: it is named in a warning by its number, and left out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from sources.csv_file import cells_of, lines_in_words, read_employee, word_key

logger = logging.getLogger(__name__)

USER_HEADINGS = {
    "employee_id": ("employee_id", "Сотрудник (ID)", "Сотрудник"),
    "datalens_user_id": ("datalens_user_id", "Пользователь DataLens"),
    "sees_all": ("sees_all", "Видит все отделы"),
}
"""Column to the headings it may have."""

_YES = {"да", "1", "true", "yes", "+"}
_NO = {"", "нет", "0", "false", "no", "-"}


@dataclass(frozen=True)
class DatalensUser:
    """A person in Bitrix24 and in DataLens.

    Attributes:
        employee_id: id in Bitrix24.
        user_id: id in DataLens.
        sees_all: whether he sees the rows of all departments.
    """

    employee_id: int
    user_id: str
    sees_all: bool


def read_datalens_users(path: Path) -> list[DatalensUser]:
    """Reads the file.

    Args:
        path: a CSV with the columns of `USER_HEADINGS`, in any order, among others; `sees_all` may be missing.

    Raises:
        CsvFileError: the file is missing, no CSV, or lacks a column.
    """
    users, unread = [], []
    taken: dict[str, int] = {}
    for number, cells in cells_of(path, USER_HEADINGS, {"sees_all"}):
        if not any(cells.values()):
            continue
        employee_id, user_id = read_employee(cells["employee_id"]), cells["datalens_user_id"]
        answer = word_key(cells.get("sees_all", ""))
        # Two employees with one id in DataLens would see each other's rows.
        if not employee_id or not user_id or answer not in _YES | _NO or taken.get(user_id, employee_id) != employee_id:
            unread.append(number)
            continue
        taken[user_id] = employee_id
        users.append(DatalensUser(employee_id, user_id, answer in _YES))
    if unread:
        logger.warning(
            "datalens users: no employee id, no DataLens id, an id that another employee has, or neither yes nor no in "
            "%s of %s; these people see nothing",
            lines_in_words(unread),
            path.name,
        )
    return users
