"""Heads are told of a closed month once, after it is published, and a portal that refuses stops nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from assets.agenda import notified
from assets.changes import COVERAGE_COLUMNS
from assets.rules.disclosure import PROFILES
from assets.rules.policy import PolicyBook
from assets.terms import Terms
from sources.bitrix24 import Bitrix24, PortalUnreachableError, RequestRefusedError
from sources.contracts import ContractBrokenError, Process
from sources.vault import CURRENT, Vault, VaultKey
from warehouse_sql.warehouse import Warehouse

TERMS = replace(Terms((), PolicyBook(()), "default", PROFILES["default"], 8), agenda_link="https://example.org/x")
WITH_PROCESS = replace(
    TERMS,
    processes=(
        Process.model_validate(
            {
                "key": "salary",
                "title": "Оклады",
                "entity_type_id": 1042,
                "cadence": "task",
                "fields": {"score": "a", "comment": "b", "rater": "c", "ratee": "d"},
            }
        ),
    ),
)
CONTENTS = (
    """INSERT INTO dwh.dim_department (department_id, name, head_employee_id, valid_from, valid_to, is_current)
    VALUES (7, 'Кадры', 70, '1970-01-01', '2149-06-06', true), (8, 'Финансы', 80, '1970-01-01', '2149-06-06', true),
        (9, 'Сайт', 90, '1970-01-01', '2149-06-06', true)""",
    """INSERT INTO dwh.dim_employee (employee_id, is_active, is_current)
    VALUES (70, true, true), (80, true, true), (90, false, true)""",
    """INSERT INTO mart.department_pair (scope, period_from, period_to, process_key, rater_department_id,
        rater_department, ratee_department_id, ratee_department, mean_score)
    VALUES ('open', '2026-10-01', '2026-10-01', 'salary', 7, 'Кадры', 8, 'Финансы', 4.5),
        ('open', '2026-10-01', '2026-10-01', 'site', 9, 'Сайт', 8, 'Финансы', 4.5),
        ('open', '2026-11-01', '2026-11-01', 'site', 7, 'Кадры', 9, 'Сайт', 4.5)""",
)


class Portal(Bitrix24):
    """A portal with a clock that takes notifications, but for those of users it does not know."""

    def __init__(self, day: str, *unknown: int) -> None:
        self.day, self.unknown = datetime.fromisoformat(day).replace(tzinfo=UTC), unknown
        self.sent: list[tuple[int, str]] = []

    @property
    def now(self) -> datetime:
        return self.day

    def notify(self, user_id: int, message: str) -> None:
        if user_id in self.unknown:
            raise RequestRefusedError("refused")
        self.sent.append((user_id, message))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    made = Warehouse(path=tmp_path_factory.mktemp("agenda") / "warehouse")
    with made.session("test") as db:
        db.migrate()
        for statement in CONTENTS:
            db.command(statement)
    return made


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault", VaultKey(bytes(range(32))))


def note_read(vault: Vault, month: date, read_on: date) -> None:
    """The vault's memory of the day on which the month was last read in full."""
    rows = [{"process_key": "salary", "period": month, "read_on": read_on}]
    vault.write("coverage", CURRENT, pa.Table.from_pylist(rows, COVERAGE_COLUMNS))


def tell(portal: Portal, vault: Vault, warehouse: Warehouse, terms: Terms = TERMS) -> list[int]:
    notified(portal=portal, vault=vault, warehouse=warehouse, terms=terms)
    return [user for user, _ in portal.sent]


def test_heads_are_told_once_after_the_freeze(vault: Vault, warehouse: Warehouse) -> None:
    assert tell(Portal("2026-11-07"), vault, warehouse) == [], "months closed before the link are old news"
    assert tell(Portal("2026-11-07"), vault, warehouse) == []
    portal = Portal("2026-11-08")
    assert tell(portal, vault, warehouse) == [70, 80]
    # Who has left is told nothing, and nobody is sent to talk with him.
    assert portal.sent[1][1] == (
        "Закрыты оценки за октябрь 2026. Есть что обсудить с отделами: Кадры. "
        "Дашборд «Взаимодействие отделов»: https://example.org/x"
    )
    assert tell(Portal("2026-11-09"), vault, warehouse) == []


def test_who_could_not_be_told_is_tried_again_and_the_others_are_not(vault: Vault, warehouse: Warehouse) -> None:
    tell(Portal("2026-11-01"), vault, warehouse)
    assert tell(Portal("2026-11-08", 70), vault, warehouse) == [80]
    assert tell(Portal("2026-11-09"), vault, warehouse) == [70]


def test_a_silent_portal_is_not_asked_for_each_head(vault: Vault, warehouse: Warehouse) -> None:
    class Silent(Portal):
        def notify(self, user_id: int, message: str) -> None:
            self.sent.append((user_id, message))
            raise PortalUnreachableError("silent")

    tell(Portal("2026-11-01"), vault, warehouse)
    assert tell(Silent("2026-11-08"), vault, warehouse) == [70]
    assert tell(Portal("2026-11-09"), vault, warehouse) == [70, 80]


def test_an_answer_that_breaks_the_contract_fails_no_run(vault: Vault, warehouse: Warehouse) -> None:
    class Broken(Portal):
        def notify(self, user_id: int, message: str) -> None:
            raise ContractBrokenError("no envelope")

    tell(Portal("2026-11-01"), vault, warehouse)
    assert tell(Broken("2026-11-08"), vault, warehouse) == []


def test_nobody_is_told_before_the_closed_month_is_read_for_the_last_time(vault: Vault, warehouse: Warehouse) -> None:
    tell(Portal("2026-11-01"), vault, warehouse)
    note_read(vault, date(2026, 10, 1), date(2026, 11, 7))
    assert tell(Portal("2026-11-08"), vault, warehouse, WITH_PROCESS) == []
    note_read(vault, date(2026, 10, 1), date(2026, 11, 8))
    assert tell(Portal("2026-11-08"), vault, warehouse, WITH_PROCESS) == [70, 80]


def test_without_a_link_nobody_is_told(vault: Vault, warehouse: Warehouse) -> None:
    silent = replace(TERMS, agenda_link="")
    tell(Portal("2026-11-01"), vault, warehouse, silent)
    assert tell(Portal("2026-11-08"), vault, warehouse, silent) == []
