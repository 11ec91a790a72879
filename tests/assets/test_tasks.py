"""Closed tasks on their way into the vault: whole, in one month each, and read again when they change."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest

from assets.changes import Changes, find_changes, forget, note_published, pending
from assets.crm import DEPARTMENT_COLUMNS, EMPLOYEE_COLUMNS, read_ratings
from assets.obligations import OBLIGATION_COLUMNS, obligation
from assets.periods import key_of
from assets.ratings import checked
from assets.rules.deletions import MassDeletionError
from assets.rules.disclosure import PROFILES
from assets.rules.policy import PolicyBook
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.contracts import Process
from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, Record
from sources.stand_in.truth import department_versions, employee_versions, obligation_truth, sight
from sources.vault import CURRENT, Vault, VaultKey

NOW = datetime(2026, 3, 20, 12, tzinfo=MOSCOW)
JANUARY, FEBRUARY, MARCH = date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)
ZONE = ZoneInfo("Europe/Moscow")


class Office:
    """A stand-in portal with a vault beside it, read as runs do, each in a session of its own."""

    def __init__(self, portal: StandInPortal, vault: Vault) -> None:
        self.portal = portal
        self.vault = vault
        self.config = portal.state.config

    @property
    def admin(self) -> Any:
        return self.portal.admin

    @property
    def terms(self) -> Terms:
        processes = tuple(Process.model_validate(process) for process in self.config["processes"])
        return Terms(processes, PolicyBook(()), "default", PROFILES["default"], 8)

    def session(self) -> Bitrix24:
        return Bitrix24(self.portal.webhook, zone=ZONE, backoff_seconds=0.001)

    def look(self, *, sweep: bool = True) -> Changes:
        with self.session() as client:
            return find_changes(client, self.vault, self.terms, sweep=sweep)

    def read(self, *months: date, accept_deletions: bool = False) -> None:
        with self.session() as client:
            read_ratings(client, self.vault, self.terms, list(months), accept_deletions=accept_deletions)
        note_published(self.vault, list(months))

    def settle(self) -> None:
        """Looks and reads as the first run does; afterwards nothing is left to read."""
        self.look()
        self.read(FEBRUARY, MARCH)
        note_published(self.vault, sorted(pending(self.vault)))
        assert self.look().months == []

    def next_day(self) -> None:
        self.portal.clock.set(self.portal.clock.now().replace(hour=12) + pd.Timedelta(days=1))

    def held(self) -> list[tuple[Any, ...]]:
        tables = [self.vault.read("task", key) for key in self.vault.periods("task")]
        return [tuple(row.values()) for table in tables for row in table.to_pylist()]

    def deleted(self) -> set[int]:
        return {row[0] for row in self.held() if row[-1]}

    def shown(self) -> list[tuple[Any, ...]]:
        """What the vault must hold of tasks that are there: read from the state, row by row."""
        groups = {str(process["tasks"]["group_id"]) for process in self.config["processes"] if "tasks" in process}
        rows = []
        for number, task in sorted(self.portal.state.tasks.items()):
            if task["groupId"] in groups and task["status"] == "5":
                at = datetime.fromisoformat(task["closedDate"])
                period = at.date().replace(day=1)
                for person in sorted({int(task["responsibleId"]), *map(int, task["accomplices"])}):
                    setter = int(task["createdBy"])
                    row = (number, int(task["groupId"]), setter, person, period, at, at.date(), task["title"], False)
                    rows.append(row)
        return rows

    def assert_whole(self, *months: date) -> None:
        there = [row for row in self.held() if not row[-1]]
        assert sorted(there) == [row for row in self.shown() if row[4] in months]
        for key in self.vault.periods("task"):
            assert {key_of(row["period"]) for row in self.vault.read("task", key).to_pylist()} <= {key}

    def closed(self, month: date) -> list[int]:
        """Completed tasks of production, the first process."""
        return [row[0] for row in self.shown() if row[4] == month and row[1] == 11]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    state = generate(3, "tiny", NOW)
    with StandInPortal(state, rate_per_second=None) as portal:
        yield Office(portal, Vault(tmp_path / "vault", VaultKey(bytes(range(32)))))


def test_a_reading_brings_every_closed_task_of_its_months_with_all_who_did_it(office: Office) -> None:
    number = office.closed(FEBRUARY)[0]
    helper = next(person for person in office.portal.state.users if person > 2)
    office.admin.edit_task(number, {"accomplices": [str(helper), office.portal.state.tasks[number]["responsibleId"]]})
    office.read(FEBRUARY, MARCH)
    office.assert_whole(FEBRUARY, MARCH)
    assert helper in {row[3] for row in office.held() if row[0] == number}


def test_a_second_look_at_tasks_that_did_not_change_finds_nothing(office: Office) -> None:
    office.settle()
    before = office.held()
    office.read(FEBRUARY, MARCH)
    assert office.held() == before
    assert not office.look().months
    office.next_day()
    assert not office.look().months


def moved(office: Office, number: int, group: int) -> None:
    office.admin.edit_task(number, {"groupId": str(group)})


CHANGES: dict[str, tuple[Callable[[Office, int], None], bool]] = {
    "reopened": (lambda office, number: office.admin.reopen_task(number), False),
    "reassigned": (lambda office, number: office.admin.edit_task(number, {"responsibleId": "9"}), False),
    "renamed": (lambda office, number: office.admin.edit_task(number, {"title": "Иначе"}), False),
    "helped": (lambda office, number: office.admin.edit_task(number, {"accomplices": ["9", "10"]}), False),
    "moved to another process": (lambda office, number: moved(office, number, 12), False),
    "moved out": (lambda office, number: moved(office, number, 99), True),
    "deleted": (lambda office, number: office.admin.delete_task(number), True),
}
"""What happens to a closed task, and whether only the daily sweep can see it."""


@pytest.mark.parametrize("what", CHANGES)
def test_a_closed_task_that_changes_makes_its_month_be_read_again(office: Office, what: str) -> None:
    change, needs_sweep = CHANGES[what]
    office.settle()
    number = office.closed(FEBRUARY)[0]
    change(office, number)
    if needs_sweep:
        assert not office.look().months
        office.next_day()
    assert office.look().months == [FEBRUARY]
    office.read(FEBRUARY)
    office.assert_whole(FEBRUARY, MARCH)
    assert office.deleted() == ({number} if what == "deleted" else set())
    assert office.look().months == []


def test_a_look_without_a_sweep_asks_for_one_once_a_day(office: Office) -> None:
    office.settle()
    office.admin.delete_task(office.closed(FEBRUARY)[0])
    assert not office.look(sweep=False).wants_sweep
    office.next_day()
    assert office.look(sweep=False).wants_sweep
    assert office.look(sweep=True).months == [FEBRUARY]
    assert not office.look(sweep=False).wants_sweep


def test_a_task_closed_again_in_another_month_stands_in_one_month_whatever_months_are_read(office: Office) -> None:
    office.settle()
    first, second = office.closed(FEBRUARY)[:2]
    for number, months in ((first, (MARCH,)), (second, (FEBRUARY,))):
        office.admin.reopen_task(number)
        office.admin.close_task(number)
        assert office.look().months == [FEBRUARY, MARCH]
        office.read(*months)
        office.assert_whole(FEBRUARY, MARCH)
        note_published(office.vault, [FEBRUARY, MARCH])


def test_a_task_closed_again_in_a_month_that_nobody_has_read_waits_for_that_month(office: Office) -> None:
    office.read(FEBRUARY)
    number = office.closed(FEBRUARY)[0]
    office.admin.reopen_task(number)
    office.admin.close_task(number)
    office.read(FEBRUARY)
    assert number not in {row[0] for row in office.held()}
    assert MARCH in pending(office.vault)
    office.read(MARCH)
    office.assert_whole(FEBRUARY, MARCH)


def test_a_deleted_task_that_comes_back_is_there_again(office: Office) -> None:
    office.settle()
    number = office.closed(FEBRUARY)[0]
    office.admin.delete_task(number)
    office.read(FEBRUARY)
    assert office.deleted() == {number}
    office.read(FEBRUARY)
    assert office.deleted() == {number}, "a task stays deleted"
    office.admin.restore_task(number)
    office.next_day()
    assert office.look().months == [FEBRUARY]
    office.read(FEBRUARY)
    office.assert_whole(FEBRUARY, MARCH)
    assert not office.deleted()


@pytest.mark.parametrize("how", ["hide", "delete"])
def test_tasks_that_vanish_in_masses_need_consent(office: Office, how: str) -> None:
    office.settle()
    before = office.held()
    gone = office.closed(FEBRUARY)
    for number in gone:
        if how == "hide":
            office.admin.hidden_tasks.add(number)
        else:
            office.admin.delete_task(number)
    with pytest.raises(MassDeletionError, match=rf"\(workgroup 11: {len(gone)} of {len(gone)}\).*--accept-deletions"):
        office.read(FEBRUARY)
    assert office.held() == before
    office.read(FEBRUARY, accept_deletions=True)
    assert office.deleted() == set(gone)


def test_a_workgroup_that_is_hidden_altogether_needs_consent_however_small_it_is(office: Office) -> None:
    office.settle()
    group = sorted({row[0] for row in office.held() if row[1] == 12})
    for number in group[3:]:
        office.admin.delete_task(number)
    office.read(FEBRUARY, MARCH, accept_deletions=True)
    before = office.held()
    assert len({row[0] for row in before if not row[-1]}) > 10
    office.admin.hidden_tasks.update(group[:3])
    office.next_day()
    months = office.look().months
    with pytest.raises(MassDeletionError, match=r"\(workgroup 12: 3 of 3\)"):
        office.read(*months)
    assert office.held() == before


def test_tasks_opened_again_in_masses_need_no_consent(office: Office) -> None:
    office.settle()
    for number in office.closed(FEBRUARY):
        office.admin.reopen_task(number)
    office.read(FEBRUARY)
    office.assert_whole(FEBRUARY, MARCH)
    assert not office.deleted()


def test_without_tasks_in_the_configuration_the_portal_is_not_asked_for_any(office: Office) -> None:
    for process in office.config["processes"]:
        process.pop("tasks", None)
    office.settle()
    office.next_day()
    office.look()
    commands = [command for entry in office.portal.log for command in entry.params.get("cmd", {}).values()]
    assert commands
    assert not [command for command in commands if "GROUP_ID" in command]
    assert office.held() == []


def test_a_group_that_is_named_later_has_all_months_read_again(office: Office) -> None:
    groups = [process.pop("tasks") for process in office.config["processes"]]
    office.settle()
    office.config["processes"][0]["tasks"] = groups[0]
    assert office.look().months == [FEBRUARY, MARCH]
    office.read(FEBRUARY, MARCH)
    office.assert_whole(FEBRUARY, MARCH)
    office.config["processes"][1]["tasks"] = groups[1]
    assert office.look().months == [FEBRUARY, MARCH]


def test_tasks_of_a_group_that_is_no_longer_named_wait_unchanged(office: Office) -> None:
    office.settle()
    before = office.held()
    group = office.config["processes"][0].pop("tasks")
    office.read(FEBRUARY, MARCH)
    assert sorted(office.held()) == sorted(before)
    office.config["processes"][0]["tasks"] = group
    assert office.look().months == []


def test_a_destroyed_month_is_not_read_for_its_tasks_again(office: Office) -> None:
    office.settle()
    numbers = office.closed(FEBRUARY)
    with office.session() as client:
        forget(office.vault, office.terms, FEBRUARY, client.now.date())
    office.admin.edit_task(numbers[0], {"title": "Иначе"})
    office.next_day()
    assert office.look().months == []
    office.read(MARCH)
    office.assert_whole(MARCH)


# --- obligations --------------------------------------------------------------------------------------------------


def obligations(office: Office) -> list[Record]:
    """Runs the rules over the vault."""
    seen = [sight(office.portal.state, office.portal.clock.now())]
    people = pd.DataFrame([vars(version) for version in employee_versions(seen)])
    departments = pd.DataFrame([vars(version) | {"level": 1} for version in department_versions(seen)])
    office.vault.write("employees", CURRENT, pa.Table.from_pandas(people, EMPLOYEE_COLUMNS, preserve_index=False))
    office.vault.write(
        "departments", CURRENT, pa.Table.from_pandas(departments, DEPARTMENT_COLUMNS, preserve_index=False)
    )
    checked(vault=office.vault, terms=office.terms)
    with office.session() as client:
        obligation(portal=client, vault=office.vault, terms=office.terms)
    tables = [office.vault.read("obligation", key) for key in office.vault.periods("obligation")]
    assert all(table.schema.remove_metadata() == OBLIGATION_COLUMNS for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def test_obligations_in_the_vault_are_those_that_the_company_knows_of(office: Office) -> None:
    office.settle()
    found = {tuple(row.values()) for row in obligations(office)}
    assert found == {tuple(vars(row).values()) for row in obligation_truth(office.portal.state)}


def test_a_rating_that_was_given_stays_given_when_its_month_is_destroyed(office: Office) -> None:
    office.settle()
    task = next(
        row for row in obligations(office) if row["period"] == MARCH and row["task_id"] and row["status"] == "fulfilled"
    )
    # It was given in February: before its task was closed.
    entity = next(p["entity_type_id"] for p in office.config["processes"] if p["key"] == task["process_key"])
    office.admin.edit_item(entity, task["rating_id"], {"createdTime": "2026-02-27T12:00:00+03:00"})
    office.read(FEBRUARY, MARCH)
    assert task | {"rated_on": date(2026, 2, 27)} in obligations(office)
    with office.session() as client:
        forget(office.vault, office.terms, FEBRUARY, client.now.date())
    assert task | {"rated_on": date(2026, 2, 27)} in obligations(office)
