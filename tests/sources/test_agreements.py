from __future__ import annotations

import logging
from datetime import date
from pathlib import Path

import pytest

from sources.agreements import read_agreements
from sources.csv_file import CsvFileError

HEADINGS = "Договорились;Процесс;Исполнитель;Постановщик;Причина;О чём договорились;Ответственный (ID);Срок;Сделано\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1251"])
def test_a_file_from_excel_is_read(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "agreements.csv"
    file.write_text(
        HEADINGS + "01.10.2026;site;18;9;Дубли;Один бриф;user_46;15.11.2026;Да\n;;;;;;;;\n", encoding=encoding
    )
    assert read_agreements(file).to_pylist() == [
        {
            "number": 2,
            "agreed_on": date(2026, 10, 1),
            "process": "site",
            "rater_department": "18",
            "ratee_department": "9",
            "reason": "Дубли",
            "text": "Один бриф",
            "owner_id": 46,
            "due": date(2026, 11, 15),
            "is_done": True,
        }
    ]


def test_lines_without_day_or_text_are_named_by_number_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "agreements.csv"
    file.write_text(
        "agreed_on,process,rater_department,ratee_department,text\nскоро,site,18,9,Тайна\n2026-10-01,site,18,9,\n",
        encoding="utf-8",
    )
    with caplog.at_level(logging.WARNING):
        assert read_agreements(file).num_rows == 0
    assert "lines 2, 3 of agreements.csv" in caplog.text
    assert "Тайна" not in caplog.text


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    file = tmp_path / "agreements.csv"
    file.write_text(HEADINGS.replace("Процесс;", ""), encoding="utf-8")
    with pytest.raises(CsvFileError, match=r"has no column process: .*Процесс"):
        read_agreements(file)
