from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sources.agreements import read_agreements
from sources.bitrix24 import RightsLostError, UnknownFieldError
from sources.contracts import AgreementProcess
from sources.csv_file import CsvFileError
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import Record, SmartProcess
from tests.sources.conftest import connect

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


KIND = 1084
PROCESS = AgreementProcess.model_validate(
    {
        "entity_type_id": KIND,
        "fields": {
            "process": "ufProcess",
            "rater_department": "ufRater",
            "ratee_department": "ufRatee",
            "text": "ufText",
            "reason": "ufReason",
            "owner": "assignedById",
            "due": "ufDue",
            "done": "ufDone",
        },
    }
)


def element(number: int, **values: Any) -> Record:
    return {
        "id": number,
        "createdTime": "2026-11-10T00:30:00+05:00",
        "updatedTime": "2026-11-10T00:30:00+05:00",
        "assignedById": "46",
        "ufProcess": 31,
        "ufRater": ["18"],
        "ufRatee": "Маркетинг",
        "ufText": "Один бриф на макет",
        "ufReason": None,
        "ufDue": "2026-12-01T03:00:00+03:00",
        "ufDone": "Y",
    } | values


@pytest.fixture
def kept(portal: StandInPortal) -> dict[int, Record]:
    """Elements of a smart process of agreements, to be changed."""

    def field(kind: str, upper: str, **more: Any) -> Record:
        return {"type": kind, "upperName": upper, "title": upper, "isMultiple": False, **more}

    process = SmartProcess(
        entity_type_id=KIND,
        type_id=24,
        title="Договорённости",
        fields={
            "id": field("integer", "ID"),
            "createdTime": field("datetime", "CREATED_TIME"),
            "updatedTime": field("datetime", "UPDATED_TIME"),
            "assignedById": field("user", "ASSIGNED_BY_ID"),
            "ufProcess": field("enumeration", "UF_PROCESS", items=[{"ID": "31", "VALUE": "Сайт"}]),
            "ufRater": field("iblock_section", "UF_RATER"),
            "ufRatee": field("string", "UF_RATEE"),
            "ufText": field("text", "UF_TEXT"),
            "ufReason": field("enumeration", "UF_REASON", items=[{"ID": "5", "VALUE": "Дубли"}]),
            "ufDue": field("date", "UF_DUE"),
            "ufDone": field("boolean", "UF_DONE"),
        },
        categories=[],
        statuses=[],
        items={number: element(number) for number in (1, 2)},
    )
    portal.state.processes[KIND] = process
    return process.items


def fetch(portal: StandInPortal, known: tuple[int, ...] = ()) -> list[Record]:
    with connect(portal) as client:
        rows: list[Record] = client.agreements(PROCESS, known).to_pylist()
    return rows


def test_agreements_are_read_from_a_smart_process(portal: StandInPortal, kept: dict[int, Record]) -> None:
    kept[2] = element(2, ufReason=5, ufDone="N", ufDue=None, assignedById=None)
    kept[3] = element(3, ufText="")
    first, second = fetch(portal)
    assert first == {
        "number": 1,
        # The day in the portal's zone, which is not that of the time.
        "agreed_on": date(2026, 11, 9),
        "process": "Сайт",
        "rater_department": "18",
        "ratee_department": "Маркетинг",
        "reason": "",
        "text": "Один бриф на макет",
        "owner_id": 46,
        "due": date(2026, 12, 1),
        "is_done": True,
    }
    assert [second[name] for name in ("reason", "owner_id", "due", "is_done")] == ["Дубли", 0, None, False]


def test_a_deleted_agreement_is_gone_and_a_hidden_one_is_an_error(
    portal: StandInPortal, kept: dict[int, Record]
) -> None:
    del kept[2]
    assert [row["number"] for row in fetch(portal, (1, 2))] == [1]
    portal.admin.hide_item(KIND, 1)
    with pytest.raises(RightsLostError):
        fetch(portal, (1,))


def test_a_field_that_does_not_exist_is_named(portal: StandInPortal, kept: dict[int, Record]) -> None:
    assert kept
    del portal.state.processes[KIND].fields["ufText"]
    with pytest.raises(UnknownFieldError, match=r"agreements maps text to the field ufText"):
        fetch(portal)
