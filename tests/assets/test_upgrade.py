"""A vault made before runs read the titles of tasks: read as it is, its months read again; any other is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from assets.changes import forget, forgotten, months_without_titles, pending
from assets.crm import read_months
from assets.ratings import CHECKED_COLUMNS, checked
from sources.contracts import RATING_COLUMNS
from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import Record
from sources.vault import Vault, VaultError, VaultKey
from tests.assets.test_tasks import FEBRUARY, MARCH, NOW, Office, obligations


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A company without tasks in its configuration, so that nothing else makes months be read again."""
    state = generate(3, "tiny", NOW)
    for process in state.config["processes"]:
        process.pop("tasks", None)
    with StandInPortal(state, rate_per_second=None) as portal:
        office = Office(portal, Vault(tmp_path / "vault", VaultKey(bytes(range(32)))))
        office.settle()
        yield office


def age(vault: Vault) -> None:
    """Leaves the ratings as they were written before their titles were read."""
    for key in vault.periods("raw"):
        table = vault.read("raw", key)
        vault.write("raw", key, table.drop_columns(["task_title"]))


def ratings(office: Office, *keys: str) -> list[Record]:
    rows: list[Record] = read_months(office.vault, "raw", list(keys), RATING_COLUMNS).to_pylist()
    return sorted(rows, key=lambda row: (row["process_key"], row["rating_id"]))


def test_ratings_without_titles_are_read_with_empty_ones(office: Office) -> None:
    before = ratings(office, "2026-02", "2026-03")
    assert any(row["task_title"] for row in before)
    age(office.vault)
    assert ratings(office, "2026-02", "2026-03") == [row | {"task_title": ""} for row in before]


@pytest.mark.parametrize("sweep", [True, False])
def test_months_without_titles_are_read_again_once(office: Office, *, sweep: bool) -> None:
    before = ratings(office, "2026-02", "2026-03")
    age(office.vault)
    assert office.look(sweep=sweep).months == [FEBRUARY, MARCH]
    office.read(FEBRUARY, MARCH)
    assert ratings(office, "2026-02", "2026-03") == before
    assert not months_without_titles(office.vault)
    assert office.look(sweep=sweep).months == []


def test_one_month_can_be_read_while_others_still_lack_titles(office: Office) -> None:
    before = ratings(office, "2026-03")
    age(office.vault)
    office.read(MARCH)
    assert ratings(office, "2026-03") == before
    assert months_without_titles(office.vault) == {FEBRUARY}
    obligations(office)
    assert office.look().months == [FEBRUARY]
    with office.session() as client:
        forget(office.vault, office.terms, FEBRUARY, client.now.date())
    assert ratings(office, *office.vault.periods("raw")) == before


def test_ratings_that_move_take_their_month_with_them_from_a_vault_without_titles(office: Office) -> None:
    process = next(process for process in office.config["processes"] if process["cadence"] == "task")
    moved = next(row for row in ratings(office, "2026-02") if row["process_key"] == process["key"])
    age(office.vault)
    office.admin.edit_item(process["entity_type_id"], moved["rating_id"], {"createdTime": "2026-03-02T12:00:00+03:00"})
    office.read(MARCH)
    assert moved["rating_id"] in {row["rating_id"] for row in ratings(office, "2026-03")}
    assert not months_without_titles(office.vault)
    assert FEBRUARY in pending(office.vault), "its titles are not known yet"


def test_deleted_ratings_their_events_and_destroyed_months_stay(office: Office) -> None:
    process = office.config["processes"][0]
    last = max(row["rating_id"] for row in ratings(office, "2026-03") if row["process_key"] == process["key"])
    office.admin.delete_item(process["entity_type_id"], last)
    office.read(MARCH)
    events = office.vault.read("event", "2026-03")
    age(office.vault)
    with office.session() as client:
        forget(office.vault, office.terms, FEBRUARY, client.now.date())
    assert office.look().months == [MARCH]
    office.read(MARCH)
    assert [row["is_deleted"] for row in ratings(office, "2026-03") if row["rating_id"] == last] == [True]
    assert office.vault.read("event", "2026-03").equals(events)
    assert forgotten(office.vault) == {FEBRUARY}
    assert office.vault.periods("raw") == ["2026-03"]


def test_verdicts_of_the_earlier_version_are_replaced(office: Office) -> None:
    obligations(office)
    for key in office.vault.periods("checked"):
        table = office.vault.read("checked", key)
        office.vault.write("checked", key, table.drop_columns(["task_title", "comment_rules", "reason_codes"]))
    age(office.vault)
    checked(vault=office.vault, terms=office.terms)
    assert read_months(office.vault, "checked", ["2026-02", "2026-03"]).schema == CHECKED_COLUMNS


@pytest.mark.parametrize("columns", [["task_id"], ["task_title", "task_id"], ["task_title", "reason"]])
def test_a_vault_with_other_columns_is_refused_by_the_name_of_the_section(office: Office, columns: list[str]) -> None:
    for key in office.vault.periods("raw"):
        office.vault.write("raw", key, office.vault.read("raw", key).drop_columns(columns))
    handbook = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "\n## 11. Upgrade\n" in handbook
    with pytest.raises(VaultError, match=r"docs/operations\.md, section 11 \(Upgrade\)"):
        office.read(FEBRUARY, MARCH)


def test_columns_that_nobody_knows_are_refused(office: Office) -> None:
    table = office.vault.read("raw", "2026-03")
    office.vault.write("raw", "2026-03", table.append_column("later", pa.nulls(len(table))))
    with pytest.raises(VaultError, match=r"section 11"):
        office.read(MARCH)
