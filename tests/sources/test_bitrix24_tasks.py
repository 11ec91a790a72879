"""Tasks of workgroups: all that were closed in a month, nothing else, and never fewer without a word."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.bitrix24 import Bitrix24, FilterBrokenError
from sources.contracts import TASK_COLUMNS, ContractBrokenError, GroupTask, parse_records, tasks_table
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, Record
from tests.sources.conftest import FEBRUARY, MARCH, ZONE, Twist, connect
from tests.sources.test_bitrix24_moves import COUNTS, PAGES, pages_of, while_reading

GROUP, OTHER = 11, 12
APRIL = date(2026, 4, 1)


def task(number: int, closed: str | None = "2026-02-10T12:00:00+03:00", **values: Any) -> Record:
    return {
        "id": str(number),
        "title": f"Задача {number}",
        "status": "5" if closed else "3",
        "groupId": str(GROUP),
        "createdBy": "20",
        "responsibleId": str(30 + number % 5),
        "accomplices": [],
        "closedDate": closed,
        "changedDate": closed or "2026-02-01T12:00:00+03:00",
    } | values


def fill(portal: StandInPortal, *rows: Record) -> None:
    portal.state.tasks.clear()
    portal.state.tasks.update({int(row["id"]): row for row in rows})
    portal.portal._methods.forget()


def closed(portal: StandInPortal, first: date = FEBRUARY, last: date = FEBRUARY, zone: ZoneInfo = ZONE) -> list[Record]:
    with connect(portal, zone) as client:
        table = client.closed_tasks([GROUP], first, last)
    assert table.schema == TASK_COLUMNS
    rows: list[Record] = table.to_pylist()
    return rows


def numbers(rows: list[Record]) -> list[int]:
    return [row["task_id"] for row in rows]


def test_a_closed_task_is_a_row_for_each_who_did_it(portal: StandInPortal) -> None:
    fill(portal, task(7, "2026-02-28T23:59:59+03:00", responsibleId="33", accomplices=["34", "33", "35"]))
    rows = closed(portal)
    assert [row["executor_id"] for row in rows] == [33, 34, 35]
    moment = datetime(2026, 2, 28, 23, 59, 59, tzinfo=MOSCOW)
    assert rows[0] == {
        "task_id": 7,
        "group_id": GROUP,
        "setter_id": 20,
        "executor_id": 33,
        "period": FEBRUARY,
        "closed_at": moment,
        "closed_on": date(2026, 2, 28),
        "title": "Задача 7",
        "is_deleted": False,
    }


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 1200])
def test_every_page_of_closed_tasks_is_read(portal: StandInPortal, count: int) -> None:
    fill(portal, *(task(2 * number + 1) for number in range(count)))
    assert numbers(closed(portal)) == [2 * number + 1 for number in range(count)]
    # The clock, then chains of 4, 16, 50 pages; finding nothing at all is asked about once more.
    assert len(portal.log) <= 3 + ceil(count / 1000)


def test_a_task_belongs_to_the_month_of_closing_in_portal_time(portal: StandInPortal) -> None:
    fill(
        portal,
        task(1, "2026-01-31T23:59:59+03:00"),
        task(2, "2026-02-01T00:00:00+03:00"),
        task(3, "2026-02-28T23:59:59+03:00"),
        task(4, "2026-03-01T00:00:00+03:00"),
        task(5, "2026-03-31T23:59:59+03:00"),
        task(6, "2026-04-01T00:00:00+03:00"),
    )
    assert numbers(closed(portal)) == [2, 3]
    assert numbers(closed(portal, FEBRUARY, MARCH)) == [2, 3, 4, 5]
    assert numbers(closed(portal, zone=ZoneInfo("Europe/Minsk"))) == [2, 3]


def test_open_tasks_and_those_of_other_groups_are_none(portal: StandInPortal) -> None:
    fill(
        portal,
        task(1),
        task(2, None),
        task(3, groupId=str(OTHER)),
        task(4, status="4"),
        task(5, "2019-12-15T12:00:00+03:00"),
    )
    assert numbers(closed(portal)) == [1]
    with connect(portal) as client:
        assert numbers(client.closed_tasks([GROUP, OTHER], FEBRUARY, FEBRUARY).to_pylist()) == [1, 3]
        assert numbers(client.closed_tasks([GROUP], date(2019, 12, 1), date(2019, 12, 1)).to_pylist()) == []


@pytest.mark.parametrize("accomplices", [[], None, False, {"1": "34"}, ["34"]])
def test_accomplices_are_read_in_every_form_that_the_portal_writes(accomplices: Any) -> None:
    record = task(1, responsibleId="33") | {"accomplices": accomplices}
    table = tasks_table(parse_records(GroupTask, [record], "tasks.task.list"), ZONE)
    assert table["executor_id"].to_pylist() == [33, 34] if accomplices else [33]


@pytest.mark.parametrize(
    "values",
    [{"closedDate": "вчера"}, {"closedDate": "2026-02-10T12:00:00"}, {"closedDate": 20260210}, {"groupId": "x"}],
)
def test_a_task_that_cannot_be_read_breaks_the_contract_without_being_quoted(values: Record) -> None:
    with pytest.raises(
        ContractBrokenError, match=r"tasks\.task\.list returned a record whose (closedDate|groupId)"
    ) as e:
        parse_records(GroupTask, [task(1) | values], "tasks.task.list")
    assert "вчера" not in str(e.value)


# --- what changed -------------------------------------------------------------------------------------------------


def test_changed_tasks_are_shown_whatever_their_state(portal: StandInPortal) -> None:
    since = datetime(2026, 3, 10, tzinfo=MOSCOW)
    fill(
        portal,
        task(1, changedDate="2026-03-01T12:00:00+03:00"),
        task(2, changedDate="2026-03-10T00:00:00+03:00"),
        task(3, None, changedDate="2026-03-12T12:00:00+03:00"),
        task(4, changedDate="2026-03-12T12:00:00+03:00", groupId=str(OTHER)),
    )
    with connect(portal) as client:
        now = client.changed_tasks([GROUP], since)
    assert now.task_ids == {2, 3}
    assert numbers(now.closed.to_pylist()) == [2]


def test_tasks_are_found_by_id_wherever_they_stand(portal: StandInPortal) -> None:
    fill(portal, task(1), task(2, None), task(3, groupId=str(OTHER)), task(4))
    portal.admin.hidden_tasks.add(4)
    try:
        with connect(portal) as client:
            now = client.tasks_now([1, 2, 3, 4, 5])
            assert client.visible_tasks(GROUP) == 2
    finally:
        portal.admin.hidden_tasks.clear()
    assert now.task_ids == {1, 2, 3}
    assert [(row["task_id"], row["group_id"]) for row in now.closed.to_pylist()] == [(1, GROUP), (3, OTHER)]


# --- broken promises ----------------------------------------------------------------------------------------------


def without(portal: StandInPortal, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The portal passes over some conditions of a filter, as portals do with fields they do not know."""
    methods = portal.portal._methods
    handle, scopes = methods._methods["tasks.task.list"]

    def deaf(params: Record) -> Any:
        kept = {name: value for name, value in params["filter"].items() if name.lstrip("<>=!") not in names}
        return handle({**params, "filter": kept})

    monkeypatch.setitem(methods._methods, "tasks.task.list", (deaf, scopes))


def test_a_portal_that_ignores_the_group_is_noticed(portal: StandInPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(portal, task(1), task(2, groupId=str(OTHER)))
    without(portal, monkeypatch, "GROUP_ID")
    with pytest.raises(ContractBrokenError, match="GROUP_ID"):
        closed(portal)
    with connect(portal) as client, pytest.raises(ContractBrokenError, match="GROUP_ID"):
        client.changed_tasks([GROUP], datetime(2026, 1, 1, tzinfo=MOSCOW))


def test_a_portal_that_ignores_the_day_of_closing_is_noticed(
    portal: StandInPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(portal, task(1), task(2, "2025-07-10T12:00:00+03:00"))
    without(portal, monkeypatch, "CLOSED_DATE")
    with pytest.raises(ContractBrokenError, match="CLOSED_DATE"):
        closed(portal)


def test_a_portal_that_ignores_the_status_costs_nothing(portal: StandInPortal, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(portal, task(1), task(2, status="7"), task(3, None))
    without(portal, monkeypatch, "REAL_STATUS")
    assert numbers(closed(portal)) == [1]


def test_a_portal_whose_filter_by_time_finds_nothing_is_noticed(
    portal: StandInPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = portal.portal._methods
    handle, scopes = methods._methods["tasks.task.list"]

    def blind(params: Record) -> Any:
        if ">=CLOSED_DATE" in params["filter"]:
            params = {**params, "filter": {**params["filter"], "ID": [0]}}
        return handle(params)

    monkeypatch.setitem(methods._methods, "tasks.task.list", (blind, scopes))
    fill(portal, task(1))
    with pytest.raises(FilterBrokenError, match="CLOSED_DATE"):
        closed(portal)
    fill(portal, task(1, "2026-01-10T12:00:00+03:00"))
    assert closed(portal) == []


def test_a_time_filter_read_in_another_zone_loses_no_task(
    portal: StandInPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = portal.portal._methods
    handle, scopes = methods._methods["tasks.task.list"]

    def elsewhere(params: Record) -> Any:
        def late(name: str, value: Any) -> Any:
            return (datetime.fromisoformat(value) + timedelta(hours=9)).isoformat() if "_DATE" in name else value

        return handle({**params, "filter": {name: late(name, value) for name, value in params["filter"].items()}})

    monkeypatch.setitem(methods._methods, "tasks.task.list", (elsewhere, scopes))
    fill(portal, task(1, "2026-02-01T00:00:00+03:00"), task(2, "2026-02-28T23:59:59+03:00"))
    assert numbers(closed(portal)) == [1, 2]
    with connect(portal) as client:
        assert client.changed_tasks([GROUP], datetime(2026, 2, 28, 23, tzinfo=MOSCOW)).task_ids == {2}


def test_a_page_whose_ids_do_not_rise_breaks_the_contract(portal: StandInPortal, twist: Twist) -> None:
    fill(portal, task(1), task(2))

    def change(method: str, params: Record, body: Any) -> Any:
        for result in body["result"]["result"].values() if method == "batch" else ():
            result["tasks"].reverse()
        return body

    with connect(portal) as client:
        assert client.now
        twist(change)
        with pytest.raises(ContractBrokenError, match="out of order"):
            client.closed_tasks([GROUP], FEBRUARY, FEBRUARY)


# --- other people at work -----------------------------------------------------------------------------------------

READINGS: dict[str, Callable[[Bitrix24], pa.Table]] = {
    "closed": lambda client: client.closed_tasks([GROUP], FEBRUARY, FEBRUARY),
    "changed": lambda client: client.changed_tasks([GROUP], datetime(2026, 2, 1, tzinfo=MOSCOW)).closed,
}
CHANGE = st.tuples(
    st.integers(1, 9),
    st.sampled_from(["delete", "insert", "reopen", "close", "move out", "move in", "reassign", "hide"]),
    st.floats(0, 1, exclude_max=True),
)


def disturb(portal: StandInPortal, what: str, where: float, touched: set[int]) -> None:
    tasks, admin = portal.state.tasks, portal.admin
    if what == "insert" or not tasks:
        number = max([0, *tasks, *portal.state.deleted_tasks]) + 1
        touched.add(number)
        admin.put_task(number, task(number))
        return
    number = sorted(tasks)[int(where * len(tasks))]
    touched.add(number)
    do: dict[str, Callable[[], Any]] = {
        "delete": lambda: admin.delete_task(number),
        "reopen": lambda: admin.reopen_task(number),
        "close": lambda: admin.edit_task(number, task(number, "2026-02-20T12:00:00+03:00")),
        "move out": lambda: admin.edit_task(number, {"groupId": str(OTHER)}),
        "move in": lambda: admin.edit_task(number, {"groupId": str(GROUP)}),
        "reassign": lambda: admin.edit_task(number, {"responsibleId": "39", "accomplices": ["38"]}),
        "hide": lambda: admin.hidden_tasks.add(number),
    }
    do[what]()


@pytest.mark.parametrize("reading", READINGS)
@settings(max_examples=40, deadline=None)
@given(size=PAGES, halves=COUNTS, changes=st.lists(CHANGE, min_size=1, max_size=8))
def test_tasks_that_come_go_or_move_between_requests_never_lose_or_double_another(
    shared: StandInPortal, reading: str, size: int, halves: int, changes: list[tuple[int, str, float]]
) -> None:
    read = READINGS[reading]
    kinds: tuple[Record, ...] = ({}, {"groupId": str(OTHER)}, {"status": "3", "closedDate": None}, {})
    fill(shared, *(task(3 * n + 1) | kinds[n % 4] for n in range(-(-size * halves // 2))))
    shared.state.deleted_tasks.clear()
    shared.admin.hidden_tasks.clear()
    touched: set[int] = set()
    with connect(shared) as client:
        calm = read(client).to_pylist()
        with pages_of(size) as patch:

            def act(at: int) -> None:
                for when, what, where in changes:
                    if at == when:
                        disturb(shared, what, where, touched)

            while_reading(patch, shared, act)
            found = read(client).to_pylist()
    shared.admin.hidden_tasks.clear()

    keys = [(row["task_id"], row["executor_id"]) for row in found]
    assert len(set(keys)) == len(keys)
    assert numbers(found) == sorted(numbers(found))
    assert [row for row in found if row["task_id"] not in touched] == [
        row for row in calm if row["task_id"] not in touched
    ]
