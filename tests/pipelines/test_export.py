"""The committee's table: everything needed to decide, no ranking, and Excel neither mangles nor executes it."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.export import ExportError, committee_table, write_owner_only
from sources.decisions import read_decisions
from warehouse_sql.warehouse import Warehouse

OCTOBER, JUNE = date(2026, 10, 1), date(2026, 6, 1)
FOREVER = {"valid_from": date(1970, 1, 1), "valid_to": date(2100, 1, 1), "is_current": True, "is_inferred": True}
ABOVE, NORMAL, BELOW = "Стабильно выше", "В норме", "Стабильно ниже"
FIGURES = {
    "ratings": 24,
    "raters": 6,
    "months": 5,
    "effective_ratings": 18.0,
    "coverage": 0.8125,
    "mean_score": 4.75,
    "share_of_fives": 0.7917,
    "adjusted_share": 0.8,
    "lower_bound": 0.7,
    "upper_bound": 0.9,
    "sensitivity_share": 0.79,
    "sensitivity_band": NORMAL,
    "component": 1,
    "component_share": 0.68,
}
PEOPLE = [(10, "Зуева Анна", 2), (11, "Ким Олег", 1), (12, '=HYPERLINK("http://x")', 1), (13, "Белов Ян", 0)]


def score(ratee: int, band: str, last: date = OCTOBER, **values: Any) -> dict[str, Any]:
    first = date(2026, 5, 1) if last == OCTOBER else date(2026, 1, 1)
    return {
        "scope": "named",
        "ratee_id": ratee,
        "window_from": first,
        "window_to": last,
        **FIGURES,
        "band": band,
        "explanation": "Доля пятёрок 0,80",
        "method_version": "crossed-1",
        "is_frozen": True,
    } | values


def made(number: int, ratee: int, decision: str, reason: str, code: str = "") -> dict[str, Any]:
    return {
        "number": number,
        "ratee_id": ratee,
        "period": OCTOBER,
        "scope": "named",
        "recommendation": NORMAL,
        "decision": decision,
        "decided_by": 11,
        "decided_on": date(2026, 11, 3),
        "reason": reason,
        "reason_level": "violation" if code else "ok",
        "exclusion_code": code,
        "is_counted": not code,
        "is_different": decision == "rejected" and not code,
    }


SCORES = [
    score(11, NORMAL),
    score(10, ABOVE, adjusted_share=0.95),
    score(12, BELOW, explanation="@сумма"),
    score(13, NORMAL, coverage=None),
    score(10, BELOW, JUNE),
    score(11, NORMAL, date(2026, 11, 1), is_frozen=False, window_from=date(2026, 6, 1)),
    score(10, NORMAL, JUNE, **dict.fromkeys(FIGURES), scope="hidden"),
]
DECISIONS = [
    made(1, 11, "rejected", "Оценки снижены из-за смены системы"),
    made(2, 11, "accepted", "так решили", "unexplained"),
    made(3, 12, "rejected", "+", "unexplained"),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    place = Warehouse(path=tmp_path_factory.mktemp("export") / "warehouse")
    people = [
        {"employee_id": number, "full_name": name, "position": "", "department_id": department, "is_active": True}
        for number, name, department in PEOPLE
    ]
    departments = [
        {"department_id": number, "name": name, "parent_id": 0, "level": 1, "head_employee_id": 0}
        for number, name in ((1, "Аккаунтинг"), (2, "Продажи"))
    ]
    with place.session("test") as db:
        db.prepare()
        db.insert("dwh.dim_employee", pa.Table.from_pylist([row | FOREVER | {"employee_sk": 1} for row in people]))
        db.insert(
            "dwh.dim_department", pa.Table.from_pylist([row | FOREVER | {"department_sk": 1} for row in departments])
        )
        db.insert("hr.fct_score", pa.Table.from_pylist(SCORES))
        db.insert("hr.fct_decision", pa.Table.from_pylist(DECISIONS))
    return place


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), delimiter=";"))


def test_rows_stand_by_department_and_name_never_by_figure(warehouse: Warehouse) -> None:
    content, still_open = committee_table(warehouse, "2026-10", "named")
    rows = rows_of(content)
    assert [(row["Отдел"], row["ID сотрудника"]) for row in rows] == [
        ("", "13"),
        ("Аккаунтинг", "12"),
        ("Аккаунтинг", "11"),
        ("Продажи", "10"),
    ]
    assert still_open == []
    assert content == committee_table(warehouse, "2026-10", "named")[0]


def test_russian_excel_reads_letters_numbers_and_no_formulas(warehouse: Warehouse) -> None:
    content, _ = committee_table(warehouse, "2026-10", "named")
    assert content.startswith(b"\xef\xbb\xbf")
    unknown, formula, _, best = rows_of(content)
    assert (best["Скорректированная доля пятёрок"], best["Охват"], unknown["Охват"]) == ("0,95", "0,8125", "")
    assert (formula["Сотрудник"][:2], formula["Пояснение"], formula["Причина решения"]) == ("'=", "'@сумма", "'+")
    assert (best["Рекомендация"], best["Первый месяц"], best["Период"]) == (ABOVE, "2026-05", "2026-10")
    assert (best["Версия метода"], best["Полугодие закрыто"]) == ("crossed-1", "да")


def test_the_decision_that_counts_stands_beside_its_recommendation(warehouse: Warehouse) -> None:
    _, junk, kim, undecided = rows_of(committee_table(warehouse, "2026-10", "named")[0])
    names = ("Решение", "Решил (ID)", "Дата решения", "Расходится с рекомендацией", "Замечание к решению")
    assert [kim[name] for name in names] == ["отклонено", "11", "03.11.2026", "да", ""]
    assert [undecided[name] for name in names] == [""] * 5
    assert (junk["Решение"], junk["Расходится с рекомендацией"]) == ("отклонено", "")
    assert junk["Замечание к решению"] == "не учтено: причина ничего не объясняет"


def test_what_is_exported_can_be_handed_back_with_decisions(warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    file.write_bytes(committee_table(warehouse, "2026-10", "named")[0])
    found = {row["ratee_id"]: row for row in read_decisions(file, {}).to_pylist()}
    assert found.keys() == {11, 12}
    kim = {name: DECISIONS[0][name] for name in ("period", "decision", "decided_by", "decided_on", "reason")}
    assert found[11].items() >= kim.items()
    assert found[12]["reason"] == "+"


def test_hidden_recommendations_are_those_of_the_last_calendar_half_year_without_figures(warehouse: Warehouse) -> None:
    (row,) = rows_of(committee_table(warehouse, "2026-10", "hidden")[0])
    assert (row["Основа"], row["Период"], row["Рекомендация"]) == ("по скрытым оценкам", "2026-06", NORMAL)
    assert {row[name] for name in ("Оценок", "Средняя оценка", "Нижняя граница", "Охват")} == {""}
    both = rows_of(committee_table(warehouse, "2026-06", "all")[0])
    assert [(row["Основа"], row["Рекомендация"]) for row in both] == [
        ("по именным оценкам", BELOW),
        ("по скрытым оценкам", NORMAL),
    ]


def test_a_half_year_that_is_not_closed_is_told(warehouse: Warehouse) -> None:
    content, still_open = committee_table(warehouse, "2026-11", "named")
    assert still_open == ["2026-06..2026-11"]
    assert rows_of(content)[0]["Полугодие закрыто"] == ""


def test_a_month_without_recommendations_says_which_months_have_some(warehouse: Warehouse) -> None:
    with pytest.raises(ExportError, match=r"ends in 2025-01 .* from 2026-06 to 2026-11"):
        committee_table(warehouse, "2025-01", "all")
    with pytest.raises(ExportError, match="2026-12"):
        committee_table(warehouse, "2026-12", "hidden")


def test_without_a_warehouse_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="estafeta run"):
        committee_table(Warehouse(path=tmp_path / "warehouse"), "2026-10", "named")
    assert not list(tmp_path.iterdir())


def test_a_file_is_its_owners_alone_even_if_it_was_not_before(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("old")
    file.chmod(0o644)
    write_owner_only(file, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_takes_no_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="name another file with --out"):
        write_owner_only(tmp_path / "absent" / "scores.csv", b"")
    with pytest.raises(ExportError, match="name another file with --out"):
        write_owner_only(tmp_path, b"")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_file_or_to_standard_output(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLICKHOUSE_URL", raising=False)
    fields = "{score: a, comment: b, rater: c, ratee: d}"
    process = f"{{key: p, title: П, entity_type_id: 1036, cadence: task, fields: {fields}}}"
    config = tmp_path / "estafeta.yaml"
    config.write_text(f"processes: [{process}]\nwarehouse: {{path: {warehouse.path}}}\n", encoding="utf-8")
    asked = ["export", "scores", "--config", str(config), "--period", "2026-11"]
    printed = CliRunner().invoke(app, asked)
    written = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "scores.csv")])
    assert (printed.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert printed.stdout_bytes == (tmp_path / "scores.csv").read_bytes()
    assert "2026-06..2026-11 is not closed" in printed.stderr
    assert CliRunner().invoke(app, [*asked[:-1], "2026-13"]).exit_code == 2
