"""Other people at work: rows that come, go, move or hide between two requests never cost another row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources import bitrix24, connection, envelope
from sources.bitrix24 import Bitrix24
from sources.contracts import Process
from sources.stand_in import query
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, Record
from tests.sources.conftest import FEBRUARY, MARCH, MONTHLY, TASKLY, connect, fill, ids, many

PAGES = st.sampled_from([1, 2, 7, 50])
COUNTS = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 11])
"""Whole pages and halves of them: multiplied by half a page."""
SINCE = datetime(2026, 3, 1, tzinfo=MOSCOW)

CHANGE = st.tuples(
    st.integers(1, 9),
    st.sampled_from(["delete", "insert", "edit", "restore", "month", "stage", "leave", "hide"]),
    st.floats(0, 1, exclude_max=True),
)


@contextmanager
def pages_of(size: int) -> Iterator[pytest.MonkeyPatch]:
    """Portal and client agree on another page size, and chains are short: many requests lie between few rows."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (bitrix24, connection, envelope, query):
            patch.setattr(module, "PAGE", size)
        patch.setattr(connection, "FIRST_CHAIN", 1)
        patch.setattr(connection, "BATCH", 2)
        yield patch


def while_reading(
    patch: pytest.MonkeyPatch, portal: StandInPortal, act: Callable[[int], None], base: int | None = None
) -> None:
    """Calls `act` before each further request, with 1 before the first."""
    start = portal.portal._number if base is None else base

    def between(number: int) -> None:
        act(number - start)
        portal.portal._methods.forget()

    patch.setattr(portal.portal, "between_requests", between)


def disturb(portal: StandInPortal, process: Process, new: Record, what: str, where: float, touched: set[int]) -> None:
    """Does to one row what people do while it is read."""
    kind, period = process.entity_type_id, process.fields.period
    items, gone = portal.state.processes[kind].items, portal.state.processes[kind].deleted
    pool = sorted(gone if what == "restore" else items)
    if what == "insert":
        touched.add(portal.admin.insert_item(kind, {**new, "id": max([0, *items, *gone]) + 1}))
        return
    if not pool:
        return
    key = pool[int(where * len(pool))]
    touched.add(key)
    month = {period: "2026-01-05T03:00:00+03:00"} if period else {"title": "Иначе"}
    do: dict[str, Callable[[], Any]] = {
        "delete": lambda: portal.admin.delete_item(kind, key),
        "restore": lambda: portal.admin.restore_item(kind, key),
        "hide": lambda: portal.hidden_items.add((kind, key)),
        "leave": lambda: portal.admin.edit_item(kind, key, {"createdTime": "2026-03-05T10:00:00+03:00"}),
        "month": lambda: portal.admin.edit_item(kind, key, month),
        "stage": lambda: portal.admin.edit_item(kind, key, {"stageId": "DT1036_54:FAIL"}),
        "edit": lambda: portal.admin.edit_item(kind, key, {process.fields.comment: "Иначе", process.fields.rater: 9}),
    }
    do[what]()


READINGS: dict[str, Callable[[Bitrix24, Process], list[Record]]] = {
    "ratings": lambda client, process: client.ratings(
        process, client.describe([process])[process.key], FEBRUARY, FEBRUARY
    ).to_pylist(),
    "changed": lambda client, process: client.changed(process, SINCE).to_pylist(),
    "stubs": lambda client, process: client.stubs(process).to_pylist(),
}


@pytest.mark.parametrize("reading", READINGS)
@settings(max_examples=30, deadline=None)
@given(
    process=st.sampled_from([TASKLY, MONTHLY]),
    size=PAGES,
    halves=COUNTS,
    changes=st.lists(CHANGE, min_size=1, max_size=8),
)
def test_rows_that_come_go_or_change_between_requests_never_lose_or_double_another_row(
    shared: StandInPortal,
    reading: str,
    process: Process,
    size: int,
    halves: int,
    changes: list[tuple[int, str, float]],
) -> None:
    kind, read = process.entity_type_id, READINGS[reading]
    rows = [
        row
        | {"createdTime": "2026-02-10T10:00:00+03:00", "updatedTime": f"2026-0{2 + number % 3 // 2}-15T10:00:00+03:00"}
        | ({process.fields.period: "2026-02-10T03:00:00+03:00"} if process.fields.period else {})
        for number, row in enumerate(many(process, -(-size * halves // 2)))
    ]
    items = fill(shared.state, process, rows)
    gone = shared.state.processes[kind].deleted
    gone.clear()
    shared.hidden_items.clear()
    shared.portal._methods.forget()
    for key in list(items)[3::7]:
        shared.admin.delete_item(kind, key)
    touched: set[int] = set()
    late = sum(1 for row in items.values() if row["updatedTime"] >= "2026-03")

    with connect(shared) as client:
        calm = read(client, process)
        assert len(calm) == (late if reading == "changed" else len(items))
        with pages_of(size) as patch:

            def act(at: int) -> None:
                for when, what, where in changes:
                    # `ratings` describes the process first: that takes two requests.
                    if at == when + 2 * (reading == "ratings"):
                        disturb(shared, process, rows[0] if rows else {}, what, where, touched)

            while_reading(patch, shared, act)
            found = read(client, process)
    shared.hidden_items.clear()

    numbers = [row["rating_id"] for row in found]
    assert numbers == sorted(set(numbers))
    assert [row for row in found if row["rating_id"] not in touched] == [
        row for row in calm if row["rating_id"] not in touched
    ]


@settings(max_examples=30, deadline=None)
@given(
    size=PAGES,
    halves=st.integers(1, 5),
    moves=st.lists(
        st.tuples(
            st.integers(1, 9),
            st.floats(0, 1, exclude_max=True),
            st.sampled_from([None, "", "2026-02-01", "2026-03-01", "2026-04-01", "2019-12-01", "2026-02-28"]),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_a_rating_whose_month_is_edited_while_it_is_read_is_read_once(
    shared: StandInPortal, size: int, halves: int, moves: list[tuple[int, float, str | None]]
) -> None:
    period = str(MONTHLY.fields.period)
    rows = [
        {"createdTime": "2026-03-10T10:00:00+03:00", period: ("2026-02-10T03:00:00+03:00", None)[number % 2]}
        for number in range(-(-size * halves // 2))
    ]
    items = fill(shared.state, MONTHLY, rows)
    shared.portal._methods.forget()
    with connect(shared) as client, pages_of(size) as patch:
        described = client.describe([MONTHLY])[MONTHLY.key]

        def act(at: int) -> None:
            for when, where, named in moves:
                if at == when:
                    key = sorted(items)[int(where * len(items))]
                    shared.admin.edit_item(MONTHLY.entity_type_id, key, {period: named})

        while_reading(patch, shared, act)
        # Whatever they name, they belong to February or, as all are of March, to March.
        assert ids(client.ratings(MONTHLY, described, FEBRUARY, MARCH)) == sorted(items)


def _employee(number: int) -> Record:
    return {"ID": str(number), "ACTIVE": True, "NAME": "Анна", "LAST_NAME": f"Ким {number}", "UF_DEPARTMENT": [1]}


def _department(number: int) -> Record:
    return {"ID": str(number), "NAME": f"Отдел {number}", "SORT": 900 - number, "PARENT": "1"}


def _task(number: int) -> Record:
    return {"id": str(number), "createdBy": str(number % 9), "responsibleId": "4"}


LISTS: dict[str, tuple[Callable[[int], Record], Callable[[Bitrix24, int], list[Any]], str]] = {
    "users": (_employee, lambda client, count: client.users(), "LAST_NAME"),
    "departments": (_department, lambda client, count: client.departments(), "NAME"),
    "tasks": (_task, lambda client, count: client.tasks(range(1, count + 9)), "createdBy"),
}


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=25, deadline=None)
@given(
    size=PAGES,
    halves=COUNTS,
    changes=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(["delete", "insert", "edit"]), st.floats(0, 1, exclude_max=True)),
        min_size=1,
        max_size=8,
    ),
)
def test_people_departments_and_tasks_that_change_while_they_are_read_never_cost_another(
    shared: StandInPortal, name: str, size: int, halves: int, changes: list[tuple[int, str, float]]
) -> None:
    make, read, edited = LISTS[name]
    rows: dict[int, Record] = getattr(shared.state, name)
    rows.clear()
    count = -(-size * halves // 2)
    rows.update({number: make(number) for number in range(1, count + 1)})
    shared.portal._methods.forget()
    touched: set[int] = set()

    with connect(shared) as client:
        calm = read(client, count)
        with pages_of(size) as patch:

            def act(at: int) -> None:
                for when, what, where in changes:
                    if at != when:
                        continue
                    key = max([0, *rows]) + 1 if what == "insert" or not rows else sorted(rows)[int(where * len(rows))]
                    touched.add(key)
                    if what == "delete":
                        rows.pop(key, None)
                    else:
                        rows[key] = make(key) | ({edited: "3"} if what == "edit" else {})

            while_reading(patch, shared, act)
            found = read(client, count)

    numbers = [each.id for each in found]
    assert numbers == sorted(set(numbers))
    assert [each for each in found if each.id not in touched] == [each for each in calm if each.id not in touched]
    assert len(calm) == count
