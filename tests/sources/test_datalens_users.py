from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sources.csv_file import CsvFileError
from sources.datalens_users import DatalensUser, read_datalens_users


def test_people_are_read_with_what_they_may_see(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("employee_id;datalens_user_id;sees_all\nuser_12;aje1;\n7;aje2;Да\n;;\n", encoding="cp1251")
    assert read_datalens_users(file) == [DatalensUser(12, "aje1", False), DatalensUser(7, "aje2", True)]


def test_a_line_that_cannot_be_read_gives_nobody_a_right(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "users.csv"
    lines = [
        "employee_id,datalens_user_id,sees_all",
        "12,aje1,",
        "Иванов,aje2,",
        "13,,",
        "14,aje4,может",
        "15,aje1,",
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert read_datalens_users(file) == [DatalensUser(12, "aje1", False)]
    assert "lines 3, 4, 5, 6 of users.csv" in caplog.text
    assert "aje" not in caplog.text


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("employee_id\n12\n", encoding="utf-8")
    with pytest.raises(CsvFileError, match="has no column datalens_user_id"):
        read_datalens_users(file)
