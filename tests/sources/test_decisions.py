"""Decisions and reviews are read as HR writes them; what cannot be read is named by file and line, never quoted."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sources.bitrix24 import RightsLostError, UnknownFieldError, UnknownProcessError
from sources.contracts import DecisionProcess
from sources.csv_file import CsvFileError, read_employee
from sources.decisions import read_decisions, read_month, read_outcome, read_reviews
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import Record, SmartProcess
from tests.sources.conftest import connect

OCTOBER = date(2026, 10, 1)
HEAD = "ratee_id,period,decision,reason"
WHY = "Полгода постановки полные"


def write(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    file = folder / "decisions.csv"
    file.write_bytes("\r\n".join(lines).encode(encoding))
    return file


def read(folder: Path, *lines: str, encoding: str = "utf-8", own: dict[str, str] | None = None) -> list[Record]:
    rows: list[Record] = read_decisions(write(folder, *lines, encoding=encoding), own or {}).to_pylist()
    return rows


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
@pytest.mark.parametrize("mark", [";", ",", "\t"])
def test_excel_may_write_it_in_any_of_its_ways(tmp_path: Path, encoding: str, mark: str) -> None:
    head = mark.join(["Отдел", "ID сотрудника", "Период", "Решение", "Причина решения", "Дата решения", "Решил (ID)"])
    line = mark.join(["Продажи", "12", "окт.26", "Отклонено", f'"{WHY}{mark} но сроки срывались"', "03.11.2026", "7"])
    assert read(tmp_path, head, line, encoding=encoding) == [
        {
            "number": 2,
            "ratee_id": 12,
            "period": OCTOBER,
            "decision": "rejected",
            "decided_by": 7,
            "decided_on": date(2026, 11, 3),
            "reason": f"{WHY}{mark} но сроки срывались",
        }
    ]


def test_who_and_when_may_be_left_out(tmp_path: Path) -> None:
    (row,) = read(tmp_path, HEAD, f"12,2026-10,accepted,{WHY}")
    assert (row["decided_by"], row["decided_on"]) == (0, None)


def test_rows_without_decision_and_reason_are_no_decisions(tmp_path: Path) -> None:
    rows = read(tmp_path, HEAD, "12,2026-10,,", "", f"13,2026-10,deferred,{WHY}", "14")
    assert [(row["number"], row["ratee_id"]) for row in rows] == [(4, 13)]


def test_what_cannot_be_read_stays_and_is_told_by_line_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rows = read(
            tmp_path, HEAD, "Зуева,2026-10,accepted,повод", "12,скоро,accepted,повод", "12,2026-10,повысить,повод"
        )
    assert [(row["ratee_id"], row["period"], row["decision"]) for row in rows] == [
        (0, OCTOBER, "accepted"),
        (12, None, "accepted"),
        (12, OCTOBER, ""),
    ]
    assert "lines 2, 3, 4 of decisions.csv" in caplog.text
    assert not any(word in caplog.text for word in ("Зуева", "скоро", "повысить", "повод"))


def test_own_words_for_decisions_are_understood(tmp_path: Path) -> None:
    (row,) = read(tmp_path, HEAD, f"12,2026-10,Поддержать,{WHY}", own={"поддержать": "accepted"})
    assert row["decision"] == "accepted"


def test_an_apostrophe_that_keeps_excel_from_calculating_is_no_part_of_a_reason(tmp_path: Path) -> None:
    rows = read(tmp_path, HEAD, "12,2026-10,accepted,'=нет макетов", "12,2026-10,accepted,'так'")
    assert [row["reason"] for row in rows] == ["=нет макетов", "'так'"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"ratee_id,period,decision\n12,2026-10,accepted\n", "no column reason"),
        (b"", "no column ratee_id"),
        (b"ratee_id,ratee_id,period,decision,reason\n", "2 columns ratee_id"),
        (b"PK\x03\x04", "Excel workbook"),
        (b"ratee_id\x98\xff", "neither UTF-8 nor Windows-1251"),
        (HEAD.encode() + b"\n" + b"x" * 200_000, "no CSV from line 2"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    file = tmp_path / "decisions.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CsvFileError, match=sentence) as error:
        read_decisions(file, {})
    assert str(file) in str(error.value)
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2026-10", OCTOBER),
        ("2026-10-31", OCTOBER),
        ("01.10.2026", OCTOBER),
        ("10.2026", OCTOBER),
        ("окт.26", OCTOBER),
        ("Октябрь 2026", OCTOBER),
        ("мар.26", date(2026, 3, 1)),
        ("май.26", date(2026, 5, 1)),
        ("2026-13", None),
        ("2019-10", None),
        ("42", None),
        ("скоро", None),
        ("", None),
    ],
)
def test_months_as_people_and_excel_write_them(text: str, month: date | None) -> None:
    assert read_month(text) == month


@pytest.mark.parametrize(
    ("value", "employee"),
    [(12, 12), ("12", 12), ("user_12", 12), ([12], 12), (["user_12"], 12), ([], 0), (None, 0), ("12а", 0), (2**32, 0)],
)
def test_employees_as_fields_and_files_hold_them(value: object, employee: int) -> None:
    assert read_employee(value) == employee


def test_a_decision_is_read_from_its_own_or_the_usual_words() -> None:
    assert [read_outcome(text, {"Да": "accepted"}) for text in ("да", "ОТЛОЖЕНО", "может быть")] == [
        "accepted",
        "deferred",
        "",
    ]


def test_reviews_that_cannot_be_read_are_left_out_and_told_by_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "reviews.csv"
    lines = [
        "signal_type;rater_id;ratee_id;window_to;status",
        "sinking;12;13;2026-10;проверено",
        "straight_line;14;;окт.26;dismissed",
        "sinking;12;13;2026-10;",
        "sinking;Ким;13;2026-10;reviewed",
        "sincking;12;13;2026-10;reviewed",
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    rows = read_reviews(file, {"sinking", "straight_line"}).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (2, "sinking", 12, 13, OCTOBER, "reviewed"),
        (3, "straight_line", 14, 0, OCTOBER, "dismissed"),
    ]
    assert "lines 5, 6 of reviews.csv" in caplog.text
    assert "Ким" not in caplog.text


# --- the smart process --------------------------------------------------------------------------------------------

KIND = 1080
PROCESS = DecisionProcess.model_validate(
    {
        "entity_type_id": KIND,
        "fields": {
            "ratee": "ufRatee",
            "period": "ufPeriod",
            "decision": "ufDecision",
            "reason": "ufReason",
            "decided_by": "createdBy",
        },
        "decision_values": {"Поддержать": "accepted"},
    }
)


def element(number: int, **values: Any) -> Record:
    return {
        "id": number,
        "createdTime": "2026-11-10T00:30:00+05:00",
        "updatedTime": "2026-11-10T00:30:00+05:00",
        "createdBy": 7,
        "ufRatee": 12,
        "ufPeriod": "2026-10-01T03:00:00+03:00",
        "ufDecision": 31,
        "ufReason": WHY,
    } | values


@pytest.fixture
def decisions(portal: StandInPortal) -> dict[int, Record]:
    """Elements of a smart process of decisions, to be changed."""

    def field(kind: str, upper: str, **more: Any) -> Record:
        return {"type": kind, "upperName": upper, "title": upper, "isMultiple": False, **more}

    options = [{"ID": "31", "VALUE": "Поддержать"}, {"ID": "32", "VALUE": "Отклонено"}, {"ID": "33", "VALUE": "Хм"}]
    process = SmartProcess(
        entity_type_id=KIND,
        type_id=23,
        title="Решения",
        fields={
            "id": field("integer", "ID"),
            "createdTime": field("datetime", "CREATED_TIME"),
            "updatedTime": field("datetime", "UPDATED_TIME"),
            "createdBy": field("user", "CREATED_BY"),
            "ufRatee": field("employee", "UF_RATEE"),
            "ufPeriod": field("date", "UF_PERIOD"),
            "ufDecision": field("enumeration", "UF_DECISION", items=options),
            "ufReason": field("string", "UF_REASON"),
        },
        categories=[],
        statuses=[],
        items={number: element(number) for number in (1, 2)},
    )
    portal.state.processes[KIND] = process
    return process.items


def fetch(portal: StandInPortal, known: tuple[int, ...] = ()) -> list[Record]:
    with connect(portal) as client:
        rows: list[Record] = client.decisions(PROCESS, known).to_pylist()
    return rows


def test_decisions_are_read_from_a_smart_process(portal: StandInPortal, decisions: dict[int, Record]) -> None:
    decisions[2] = element(2, ufDecision=32, ufRatee=None, ufPeriod=None)
    decisions[3] = element(3, ufDecision=33)
    decisions[4] = element(4, ufDecision=None, ufReason="")
    rows = fetch(portal)
    assert rows[0] == {
        "number": 1,
        "ratee_id": 12,
        "period": OCTOBER,
        "decision": "accepted",
        "decided_by": 7,
        "decided_on": date(2026, 11, 9),
        "reason": WHY,
    }
    assert [(row["number"], row["ratee_id"], row["period"], row["decision"]) for row in rows[1:]] == [
        (2, 0, None, "rejected"),
        (3, 12, OCTOBER, ""),
    ]


def test_all_pages_of_decisions_are_read(portal: StandInPortal, decisions: dict[int, Record]) -> None:
    decisions.update({number: element(number) for number in range(1, 400, 3)})
    assert [row["number"] for row in fetch(portal)] == sorted(decisions)


def test_a_deleted_decision_is_gone_and_a_hidden_one_is_an_error(
    portal: StandInPortal, decisions: dict[int, Record]
) -> None:
    del decisions[2]
    assert [row["number"] for row in fetch(portal, (1, 2))] == [1]
    portal.admin.hide_item(KIND, 1)
    with pytest.raises(RightsLostError):
        fetch(portal, (1,))


def test_a_process_or_field_that_does_not_exist_is_named(portal: StandInPortal, decisions: dict[int, Record]) -> None:
    del portal.state.processes[KIND].fields["ufReason"]
    with pytest.raises(UnknownFieldError, match=r"decisions maps reason to the field ufReason"):
        fetch(portal)
    del portal.state.processes[KIND]
    with pytest.raises(UnknownProcessError, match="entity_type_id of process decisions"):
        fetch(portal, tuple(decisions))
