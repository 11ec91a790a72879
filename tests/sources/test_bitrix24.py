"""Reading the portal: complete, exactly the months asked for, and only what keeps its promises."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources import connection
from sources.bitrix24 import (
    PortalError,
    ProcessOnPortal,
    RequestRefusedError,
    RightsLostError,
    ScopeMissingError,
    WrongClockError,
    WrongTimeZoneError,
)
from sources.contracts import RATING_COLUMNS, ContractBrokenError, Process
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, Record
from tests.sources.conftest import (
    BACK,
    FEBRUARY,
    MARCH,
    MONTHLY,
    PROCESSES,
    TASKLY,
    Twist,
    connect,
    fill,
    held,
    ids,
    many,
    read,
    seen,
)

# --- Complete ---


@pytest.mark.parametrize("process", [TASKLY, MONTHLY], ids=["by task", "by month"])
@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 199, 200, 201, 250, 600, 2600])
def test_reading_holds_every_element_of_the_portal_once_by_rising_id(
    portal: StandInPortal, process: Process, count: int
) -> None:
    items = fill(portal.state, process, many(process, count))
    table = read(portal, process, FEBRUARY, MARCH)
    assert seen(table) == held(process, items)
    assert table.schema == RATING_COLUMNS
    assert table.num_rows == count


def test_a_reading_carries_times_people_and_stages_as_the_portal_holds_them(portal: StandInPortal) -> None:
    number, row = next(iter(portal.state.processes[TASKLY.entity_type_id].items.items()))
    portal.admin.edit_item(TASKLY.entity_type_id, number, {"stageId": "DT1036_54:FAIL"})
    row = portal.state.processes[TASKLY.entity_type_id].items[number]
    (found,) = [each for each in read(portal, TASKLY, FEBRUARY, MARCH).to_pylist() if each["rating_id"] == number]
    assert found["created_at"] == datetime.fromisoformat(row["createdTime"])
    assert found["updated_at"] == datetime.fromisoformat(row["updatedTime"])
    assert found["ratee_id"] == row[TASKLY.fields.ratee]
    assert found["task_id"] == row[str(TASKLY.fields.task)]
    assert (found["stage_id"], found["is_failure_stage"], found["process_key"]) == ("FAIL", True, "production")


@pytest.mark.parametrize("count", [0, 60, 200, 2500, 20_000])
def test_linked_batches_read_2500_elements_a_request(portal: StandInPortal, count: int) -> None:
    fill(portal.state, TASKLY, many(TASKLY, count))
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]
        before = client.requests
        assert client.ratings(TASKLY, described, FEBRUARY, date(2026, 4, 1)).num_rows == count
        assert client.requests - before <= ceil(count / 2500) + 4
    assert len(portal.log) == client.requests
    walked = [command for entry in portal.log[2:] for command in entry.params["cmd"].values()]
    assert all(command.startswith("crm.item.list?") and "start=-1" in command for command in walked)
    assert max(len(entry.params["cmd"]) for entry in portal.log) <= 50


def test_a_short_page_ends_the_walk_although_the_commands_behind_it_return_rows_from_the_start(
    portal: StandInPortal, twist: Twist
) -> None:
    items = fill(portal.state, TASKLY, many(TASKLY, 60))
    sizes: list[list[int]] = []

    def watch(method: str, params: Record, body: Any) -> Any:
        sizes.append([len(page["items"]) for page in body["result"]["result"].values() if "items" in page])
        return body

    twist(watch)
    assert seen(read(portal, TASKLY, FEBRUARY, MARCH)) == held(TASKLY, items)
    assert sizes[-1] == [50, 10, 50, 10]


@pytest.mark.parametrize("count", [1, 50, 51, 130])
def test_all_users_come_the_dismissed_too(portal: StandInPortal, count: int) -> None:
    template = next(iter(portal.state.users.values()))
    portal.state.users.clear()
    portal.state.users.update(
        {n: template | {"ID": str(n), "LAST_NAME": f"Ким {n}", "ACTIVE": n % 10 != 0} for n in range(1, count + 1)}
    )
    with connect(portal) as client:
        users = client.users()
    assert [(user.id, user.is_active) for user in users] == [(n, n % 10 != 0) for n in range(1, count + 1)]
    assert all(user.full_name.startswith(f"Ким {user.id} ") for user in users)


def test_the_department_tree_comes_whole(portal: StandInPortal) -> None:
    portal.state.departments.update(
        {n: {"ID": str(n), "NAME": f"Отдел {n}", "SORT": 900 - n, "PARENT": "1"} for n in range(100, 160)}
    )
    with connect(portal) as client:
        found = client.departments()
    assert [each.id for each in found] == sorted(portal.state.departments)
    assert {each.id: each.name for each in found} == {n: row["NAME"] for n, row in portal.state.departments.items()}
    assert {each.parent_id for each in found} >= {0, 1}


@pytest.mark.parametrize("count", [1, 48, 49, 50, 2600])
def test_tasks_come_by_id_and_those_that_are_gone_are_absent(portal: StandInPortal, count: int) -> None:
    template = next(iter(portal.state.tasks.values()))
    portal.state.tasks.clear()
    portal.state.tasks.update(
        {n: template | {"id": str(n), "createdBy": str(n % 9), "responsibleId": "4"} for n in range(1, count + 1)}
    )
    with connect(portal) as client:
        tasks = client.tasks([*range(count, 0, -1), 1, 990_001, 990_002])
    assert [(task.id, task.setter_id, task.executor_id) for task in tasks] == [
        (n, n % 9, 4) for n in range(1, count + 1)
    ]
    assert len(portal.log) == ceil((count + 2) / 2500)


def test_no_tasks_asked_for_means_no_request(portal: StandInPortal) -> None:
    with connect(portal) as client:
        assert client.tasks([]) == []
        assert client.describe([]) == {}
        assert client.requests == 0
    assert portal.log == []


def test_now_is_the_portals_clock_at_the_first_answer_in_its_time_zone(portal: StandInPortal) -> None:
    portal.admin.set_clock(datetime(2026, 3, 9, 23, 30, tzinfo=MOSCOW))
    # Another name at the same offset is the same clock.
    with connect(portal, ZoneInfo("Europe/Minsk")) as client:
        client.users()
        portal.admin.set_clock(datetime(2026, 3, 15, tzinfo=MOSCOW))
        client.departments()
        assert client.now.replace(second=0) == datetime(2026, 3, 9, 23, 30, tzinfo=ZoneInfo("Europe/Minsk"))
        assert client.now.date() == date(2026, 3, 9)
        assert client.requests == 2
    with connect(portal) as client:
        assert client.now.date() == date(2026, 3, 15)
        assert client.requests == 1


def at_offset(twist: Twist, moment: str) -> None:
    """The portal writes its clock like this."""
    twist(lambda method, params, body: {**body, "time": {**body["time"], "date_start": moment}})


@pytest.mark.parametrize(
    ("moment", "zone", "ours"),
    [
        ("2026-03-10T12:00:00+05:00", "Europe/Moscow", "+03:00"),
        ("2026-03-10T12:00:00+03:00", "Asia/Yekaterinburg", "+05:00"),
        ("2026-03-01T12:00:00-03:00", "America/St_Johns", "-03:30"),
        ("2026-03-10T12:00:00+03:00", "UTC", "+00:00"),
        # The zone has this offset too, but in the other half of the year.
        ("2026-03-10T12:00:00+02:00", "Europe/Berlin", "+01:00"),
        ("2026-07-10T12:00:00+01:00", "Europe/Berlin", "+02:00"),
    ],
)
def test_a_portal_at_another_offset_than_the_configured_zone_is_refused(
    portal: StandInPortal, twist: Twist, moment: str, zone: str, ours: str
) -> None:
    at_offset(twist, moment)
    with connect(portal, ZoneInfo(zone)) as client:
        # At the second asking too: nobody gets past it by trying again.
        for _ in range(2):
            with pytest.raises(WrongTimeZoneError) as caught:
                client.now  # noqa: B018 - the clock is what is asked for
        assert f"writes its times at {moment[-6:]}, but portal.timezone {zone} is at {ours} on" in str(caught.value)
        assert "put the portal's own zone into portal.timezone" in str(caught.value)
        # Whoever looks into it may still read the clock.
        assert client.clock == datetime.fromisoformat(moment)


@pytest.mark.parametrize("moment", ["2026-03-10T12:00:00+01:00", "2026-07-10T12:00:00+02:00"])
def test_a_zone_is_compared_as_it_is_on_that_day(portal: StandInPortal, twist: Twist, moment: str) -> None:
    at_offset(twist, moment)
    with connect(portal, ZoneInfo("Europe/Berlin")) as client:
        assert client.now == datetime.fromisoformat(moment)


def test_a_portal_more_than_a_day_ahead_of_the_host_is_refused(portal: StandInPortal, twist: Twist) -> None:
    ahead = datetime.now(MOSCOW) + timedelta(days=1, hours=1)
    at_offset(twist, ahead.isoformat())
    with connect(portal) as client:
        with pytest.raises(WrongClockError, match="too early") as caught:
            client.now  # noqa: B018 - the clock is what is asked for
        assert f"The portal's clock shows {ahead:%Y-%m-%d %H:%M}, this host's " in str(caught.value)
        assert client.clock == ahead
    nearly = datetime.now(MOSCOW) + timedelta(hours=23)
    at_offset(twist, nearly.isoformat())
    with connect(portal) as client:
        assert client.now == nearly


@pytest.mark.parametrize("moment", ["2026-03-10T12:00:00", "today"])
def test_a_clock_that_cannot_be_read_or_has_no_offset_is_no_clock(
    portal: StandInPortal, twist: Twist, moment: str
) -> None:
    at_offset(twist, moment)
    with connect(portal) as client, pytest.raises(ContractBrokenError, match="its offset"):
        client.now  # noqa: B018 - the clock is what is asked for


def test_the_newest_elements_come_raw_newest_first_and_at_most_a_page(portal: StandInPortal) -> None:
    items = fill(portal.state, TASKLY, many(TASKLY, 60))
    with connect(portal) as client:
        rows = client.newest(TASKLY)
        assert [row["id"] for row in rows] == sorted(items, reverse=True)[:50]
        assert rows[0][TASKLY.fields.comment] == "Текст 59"
        items.clear()
        portal.portal._methods.forget()
        assert client.newest(TASKLY) == []


def test_a_process_is_described_with_the_stages_of_all_its_funnels(portal: StandInPortal) -> None:
    process = portal.state.processes[TASKLY.entity_type_id]
    process.categories.append({**process.categories[0], "id": 77, "isDefault": "N"})
    process.statuses.append(
        {**process.statuses[-1], "ENTITY_ID": "DYNAMIC_1036_STAGE_77", "STATUS_ID": "DT1036_77:LOST"}
    )
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]
    assert described.stages == {"NEW", "PREPARATION", "CLIENT", "SUCCESS", "FAIL", "LOST"}
    assert described.failure_stages == {"FAIL", "LOST"}


def test_describe_returns_the_mapped_fields_and_the_failure_stages_of_every_funnel(portal: StandInPortal) -> None:
    funnel = portal.state.processes[TASKLY.entity_type_id]
    funnel.categories.append(funnel.categories[0] | {"id": 99, "isDefault": "N"})
    funnel.statuses.append(
        funnel.statuses[0] | {"ENTITY_ID": "DYNAMIC_1036_STAGE_99", "STATUS_ID": "DT1036_99:REFUSED", "SEMANTICS": "F"}
    )
    with connect(portal) as client:
        described = client.describe(PROCESSES)
        assert client.requests == 2
    assert list(described) == [process.key for process in PROCESSES]
    assert described["production"].failure_stages == {"FAIL", "REFUSED"}
    assert described["production_back"].failure_stages == {"FAIL"}
    for process in PROCESSES:
        assert set(described[process.key].definitions) == set(process.fields.names().values())
    options = described["production"].definitions[TASKLY.fields.score].option_texts()
    assert len(options) == 5
    assert all(text for text in options.values())


# --- Months ---


@pytest.mark.parametrize(
    ("zone", "last_second", "midnight"),
    [
        ("Europe/Moscow", "2026-02-28T23:59:59+03:00", "2026-03-01T00:00:00+03:00"),
        ("Asia/Yekaterinburg", "2026-02-28T21:59:59+03:00", "2026-02-28T22:00:00+03:00"),
        ("Europe/Berlin", "2026-03-01T01:59:59+03:00", "2026-03-01T02:00:00+03:00"),
    ],
)
def test_months_meet_at_midnight_of_the_portals_zone(
    portal: StandInPortal, zone: str, last_second: str, midnight: str
) -> None:
    fill(portal.state, TASKLY, [{"createdTime": last_second}, {"createdTime": midnight}])
    fill(
        portal.state,
        MONTHLY,
        [{"createdTime": moment, str(MONTHLY.fields.period): ""} for moment in (last_second, midnight)],
    )
    for process in (TASKLY, MONTHLY):
        assert ids(read(portal, process, FEBRUARY, FEBRUARY, ZoneInfo(zone))) == [1]
        assert ids(read(portal, process, MARCH, MARCH, ZoneInfo(zone))) == [2]
        assert ids(read(portal, process, FEBRUARY, MARCH, ZoneInfo(zone))) == [1, 2]
        assert ids(read(portal, process, date(2026, 1, 1), date(2026, 1, 1), ZoneInfo(zone))) == []


def test_a_month_in_which_the_clocks_change_is_whole(portal: StandInPortal) -> None:
    moments = ["2026-03-01T01:59:59+03:00", "2026-03-01T02:00:00+03:00"]  # Berlin has +01:00
    moments += ["2026-04-01T00:59:59+03:00", "2026-04-01T01:00:00+03:00"]  # and now +02:00
    fill(portal.state, TASKLY, [{"createdTime": moment} for moment in moments])
    assert ids(read(portal, TASKLY, MARCH, MARCH, ZoneInfo("Europe/Berlin"))) == [2, 3]


def test_december_ends_where_the_year_does(portal: StandInPortal) -> None:
    moments = ["2025-11-30T23:59:59", "2025-12-01T00:00:00", "2025-12-31T23:59:59", "2026-01-01T00:00:00"]
    fill(portal.state, TASKLY, [{"createdTime": f"{moment}+03:00"} for moment in moments])
    assert ids(read(portal, TASKLY, date(2025, 12, 1), date(2025, 12, 1))) == [2, 3]


MONTHLY_ROWS: list[tuple[str, str | None, date, bool]] = [
    # created, named period, month it belongs to, whether the named one cannot be
    ("2026-03-05T10:00:00+03:00", "2026-02-01T03:00:00+03:00", FEBRUARY, False),
    ("2026-03-05T10:00:00+03:00", "2026-02-28T03:00:00+03:00", FEBRUARY, False),
    ("2026-03-05T10:00:00+03:00", "2026-03-31T03:00:00+03:00", MARCH, False),
    ("2026-03-05T10:00:00+03:00", None, MARCH, False),
    ("2026-03-05T10:00:00+03:00", "", MARCH, False),
    ("2026-03-05T10:00:00+03:00", "2019-12-31T03:00:00+03:00", MARCH, True),
    ("2026-03-05T10:00:00+03:00", "1970-01-01T03:00:00+03:00", MARCH, True),
    ("2026-03-05T10:00:00+03:00", "2026-04-01T03:00:00+03:00", MARCH, True),
    ("2026-03-05T10:00:00+03:00", "2126-03-01T03:00:00+03:00", MARCH, True),
    ("2026-02-28T23:59:59+03:00", "2026-03-01T03:00:00+03:00", FEBRUARY, True),
    ("2026-02-28T23:59:59+03:00", None, FEBRUARY, False),
    ("2026-03-05T10:00:00+03:00", "2025-12-31T03:00:00+03:00", date(2025, 12, 1), False),
    ("2026-03-05T10:00:00+03:00", "2020-01-01T03:00:00+03:00", date(2020, 1, 1), False),
    ("2026-01-31T10:00:00+03:00", "2026-01-15T03:00:00+03:00", date(2026, 1, 1), False),
]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        *[(month, month) for month in (FEBRUARY, MARCH, date(2025, 12, 1), date(2020, 1, 1), date(2026, 4, 1))],
        (FEBRUARY, MARCH),
        (date(2026, 1, 1), FEBRUARY),
        (date(2020, 1, 1), date(2026, 12, 1)),
    ],
)
def test_a_monthly_rating_is_found_in_the_month_it_names_or_else_in_that_of_its_creation(
    portal: StandInPortal, first: date, last: date
) -> None:
    period = str(MONTHLY.fields.period)
    fill(portal.state, MONTHLY, [{"createdTime": created, period: named} for created, named, _, _ in MONTHLY_ROWS])
    table = read(portal, MONTHLY, first, last)
    found = zip(*(table.column(name).to_pylist() for name in ("rating_id", "period", "is_period_invalid")), strict=True)
    assert list(found) == [
        (number, month, invalid)
        for number, (_, _, month, invalid) in enumerate(MONTHLY_ROWS, start=1)
        if first <= month <= last
    ]


def test_a_rating_that_is_edited_later_stays_in_the_month_of_its_creation(portal: StandInPortal) -> None:
    made = {"createdTime": "2026-02-10T10:00:00+03:00", "updatedTime": "2026-03-05T10:00:00+03:00"}
    fill(portal.state, TASKLY, [made])
    assert ids(read(portal, TASKLY, FEBRUARY, FEBRUARY)) == [1]
    assert ids(read(portal, TASKLY, MARCH, MARCH)) == []


DAYS = st.dates(date(2025, 11, 1), date(2026, 3, 31)) | st.sampled_from(
    [date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 28), date(2026, 3, 1)]
)
PERIODS = st.none() | st.just("") | st.dates(date(2019, 11, 1), date(2027, 2, 1)) | DAYS


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.tuples(DAYS, PERIODS), max_size=12),
    cut=st.sampled_from([date(2025, 12, 1), date(2026, 1, 1), FEBRUARY, MARCH, date(2026, 4, 1)]),
)
def test_wherever_time_is_cut_each_rating_is_on_exactly_one_side(
    shared: StandInPortal, rows: list[tuple[date, date | str | None]], cut: date
) -> None:
    period = str(MONTHLY.fields.period)
    texts = [f"{named}T03:00:00+03:00" if isinstance(named, date) else named for _, named in rows]
    fill(
        shared.state,
        MONTHLY,
        [{"createdTime": f"{day}T00:00:00+03:00", period: text} for (day, _), text in zip(rows, texts, strict=True)],
    )
    shared.portal._methods.forget()
    before = (cut - timedelta(days=1)).replace(day=1)
    early, late = read(shared, MONTHLY, date(2020, 1, 1), before), read(shared, MONTHLY, cut, date(2027, 12, 1))
    assert sorted(ids(early) + ids(late)) == list(range(1, len(rows) + 1))
    assert all(month < cut for month in early.column("period").to_pylist())
    assert all(month >= cut for month in late.column("period").to_pylist())


# --- The first month ---


def first_period(portal: StandInPortal, *processes: Process, zone: str = "Europe/Moscow") -> date | None:
    with connect(portal, ZoneInfo(zone)) as client:
        return client.first_period(processes)


def test_the_first_month_is_that_of_the_oldest_element_of_any_process(portal: StandInPortal) -> None:
    for process in PROCESSES:
        fill(portal.state, process, [])
    assert first_period(portal, *PROCESSES) is None
    assert first_period(portal) is None
    # Imports bring rows whose id is high and whose time is old.
    fill(portal.state, BACK, [{"createdTime": f"2026-0{month}-10T10:00:00+03:00"} for month in (3, 1, 2)])
    assert first_period(portal, *PROCESSES) == date(2026, 1, 1)
    assert first_period(portal, TASKLY) is None
    fill(portal.state, TASKLY, [{"createdTime": "2025-11-30T10:00:00+03:00"}])
    assert first_period(portal, *PROCESSES) == date(2025, 11, 1)
    fill(portal.state, TASKLY, [{"createdTime": "2016-11-30T10:00:00+03:00"}])
    assert first_period(portal, *PROCESSES) == date(2020, 1, 1)


@pytest.mark.parametrize(
    ("named", "month"),
    [
        ("2025-12-31T03:00:00+03:00", date(2025, 12, 1)),
        (None, date(2026, 2, 1)),
        ("2019-12-31T03:00:00+03:00", date(2026, 2, 1)),
        ("2027-01-01T03:00:00+03:00", date(2026, 2, 1)),
    ],
)
def test_a_named_month_can_be_the_first_when_it_can_be_true(
    portal: StandInPortal, named: str | None, month: date
) -> None:
    fill(portal.state, MONTHLY, [{"createdTime": "2026-02-10T10:00:00+03:00", str(MONTHLY.fields.period): named}])
    assert first_period(portal, MONTHLY) == month
    assert ids(read(portal, MONTHLY, month, month)) == [1]


def test_the_first_month_is_one_of_the_portals_zone(portal: StandInPortal) -> None:
    fill(portal.state, TASKLY, [{"createdTime": "2026-03-01T01:30:00+03:00"}])
    assert first_period(portal, TASKLY) == MARCH
    assert first_period(portal, TASKLY, zone="Europe/Berlin") == FEBRUARY
    assert ids(read(portal, TASKLY, FEBRUARY, FEBRUARY, ZoneInfo("Europe/Berlin"))) == [1]


@pytest.mark.parametrize(
    "answer", ["Иванова", {"elements": []}, {"items": [{"id": 1}]}, {"items": [{"createdTime": "x"}]}]
)
def test_a_first_month_that_cannot_be_read_fails(portal: StandInPortal, twist: Twist, answer: Any) -> None:
    def change(method: str, params: Record, body: Any) -> Any:
        if params["cmd"]["c0"].startswith("crm.item.list"):
            body["result"]["result"] = {"c0": answer}
        return body

    twist(change)
    with pytest.raises(ContractBrokenError, match=r"crm\.item\.list"):
        first_period(portal, TASKLY)


# --- Vanished ---


def test_vanished_returns_what_still_exists_and_leaves_out_what_was_deleted(portal: StandInPortal) -> None:
    items = fill(portal.state, TASKLY, many(TASKLY, 130))
    asked = list(items)
    for key in asked[::3]:
        portal.admin.delete_item(TASKLY.entity_type_id, key)
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]
        assert seen(client.vanished(TASKLY, described, asked)) == held(TASKLY, items)
        assert client.vanished(TASKLY, described, asked[:1]).num_rows == 0
        before = client.requests
        assert client.vanished(TASKLY, described, []).schema == RATING_COLUMNS
        assert client.requests == before


@pytest.mark.parametrize("place", [0, 49, 50, 99])
def test_a_hidden_element_is_lost_rights_never_a_deletion(portal: StandInPortal, place: int) -> None:
    items = fill(portal.state, TASKLY, many(TASKLY, 100))
    portal.hidden_items.add((TASKLY.entity_type_id, list(items)[place]))
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]
        with pytest.raises(RightsLostError, match=r"denies crm\.item\.get.*give the account read access"):
            client.vanished(TASKLY, described, list(items))


# --- What PHP makes of it ---


def test_an_empty_map_written_as_a_list_is_an_empty_page(portal: StandInPortal, twist: Twist) -> None:
    def empty(method: str, params: Record, body: Any) -> Any:
        results = body["result"]["result"]
        for name, command in params["cmd"].items():
            if command.startswith(("crm.item.list", "tasks.task.list")):
                results[name] = []
        assert body["result"]["result_error"] == []
        return body

    twist(empty)
    assert read(portal, TASKLY, FEBRUARY, MARCH).num_rows == 0
    with connect(portal) as client:
        assert client.tasks([1, 2]) == []


def test_people_without_department_list_or_parent_are_read(portal: StandInPortal) -> None:
    first, second = list(portal.state.users)[:2]
    portal.state.users[first]["UF_DEPARTMENT"] = False
    del portal.state.users[second]["UF_DEPARTMENT"]
    with connect(portal) as client:
        users = {user.id: user for user in client.users()}
    assert users[first].departments == users[second].departments == []


def test_a_field_whose_options_are_an_empty_list_is_read(portal: StandInPortal, twist: Twist) -> None:
    portal.state.processes[TASKLY.entity_type_id].fields[TASKLY.fields.comment]["items"] = []
    with connect(portal) as client:
        assert client.describe([TASKLY])["production"].definitions[TASKLY.fields.comment].options == []


# --- Broken promises ---


def pages(change: Callable[[dict[str, Any]], Any]) -> Callable[[str, Record, Any], Any]:
    """Changes the answers to the commands of a walk over elements."""

    def twisted(method: str, params: Record, body: Any) -> Any:
        if any(command.startswith("crm.item.list") for command in params["cmd"].values()):
            change(body["result"])
        return body

    return twisted


def swap(result: dict[str, Any]) -> None:
    rows = result["result"]["p0"]["items"]
    rows[3], rows[4] = rows[4], rows[3]


def repeat(result: dict[str, Any]) -> None:
    rows = result["result"]["p0"]["items"]
    rows[4] = rows[3]


def start_over(result: dict[str, Any]) -> None:
    result["result"]["p1"] = result["result"]["p0"]


def put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(result: dict[str, Any]) -> None:
        result["result"][name] = value

    return change


def spoil_row(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(result: dict[str, Any]) -> None:
        row = result["result"]["p0"]["items"][2]
        row.update(changes)
        for name in [name for name, value in changes.items() if value is None]:
            del row[name]

    return change


def replace_row(result: dict[str, Any]) -> None:
    result["result"]["p0"]["items"][2] = "Иванова"


def nameless(result: dict[str, Any]) -> None:
    result["result"] = list(result["result"].values())


def nameless_errors(result: dict[str, Any]) -> None:
    result["result_error"] = [{"error": "NOT_FOUND"}]


def wordy_errors(result: dict[str, Any]) -> None:
    result["result_error"] = "Иванова"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swap, "ids out of order"),
        (repeat, "ids out of order"),
        (start_over, "ids out of order"),
        (put("p0", {"elements": []}), "crm.item.list"),
        (put("p0", ["Иванова"]), "crm.item.list"),
        (put("p0", "Иванова"), "crm.item.list"),
        (put("p0", {"items": {"7": {}}}), "where a list was promised"),
        (put("p0", {"items": None}), "where a list was promised"),
        (spoil_row(id=None), "crm.item.list"),
        (spoil_row(id="Иванова"), "crm.item.list"),
        (replace_row, "crm.item.list"),
        (spoil_row(createdTime=None), "without createdTime"),
        (spoil_row(updatedTime=None), "without updatedTime"),
        (spoil_row(createdTime="Иванова"), "cannot be read"),
        (nameless, "without the names of its commands"),
        (nameless_errors, "without the names of its commands"),
        (wordy_errors, "batch"),
    ],
)  # fmt: skip
def test_a_walk_that_breaks_its_promise_fails_and_quotes_no_value(
    portal: StandInPortal, twist: Twist, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    fill(portal.state, TASKLY, many(TASKLY, 120))
    twist(pages(change))
    with pytest.raises(ContractBrokenError) as caught:
        read(portal, TASKLY, FEBRUARY, MARCH)
    assert words in str(caught.value)
    assert "Иванова" not in str(caught.value)


@pytest.mark.parametrize(
    "rows",
    [
        {"tasks": [{"id": "999999", "createdBy": "1", "responsibleId": "2"}]},
        {"tasks": [{"createdBy": "1"}]},
        {"tasks": {"1": {"id": "1"}}},
        {"tasks": None},
        {"elements": []},
        ["Иванова"],
    ],
)
def test_tasks_nobody_asked_for_or_that_are_no_list_fail(portal: StandInPortal, twist: Twist, rows: Any) -> None:
    def change(method: str, params: Record, body: Any) -> Any:
        body["result"]["result"] = {"c0": rows}
        return body

    twist(change)
    with connect(portal) as client, pytest.raises(ContractBrokenError, match=r"tasks\.task\.list"):
        client.tasks([1, 2, 3])


@pytest.mark.parametrize("answer", [[], {"item": None}, {"item": []}, {"element": {"id": 7}}])
def test_an_element_asked_for_by_id_is_there_or_refused_or_the_contract_is_broken(
    portal: StandInPortal, twist: Twist, answer: Any
) -> None:
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]

        def change(method: str, params: Record, body: Any) -> Any:
            body["result"]["result"] = {"c0": answer}
            return body

        twist(change)
        with pytest.raises(ContractBrokenError, match=r"crm\.item\.get"):
            client.vanished(TASKLY, described, [7])


def test_another_element_than_the_one_asked_for_breaks_the_contract(portal: StandInPortal, twist: Twist) -> None:
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]
        other = next(iter(portal.state.processes[TASKLY.entity_type_id].items.values()))

        def change(method: str, params: Record, body: Any) -> Any:
            body["result"]["result"] = {"c0": {"item": other}}
            return body

        twist(change)
        with pytest.raises(ContractBrokenError, match=r"crm\.item\.get"):
            client.vanished(TASKLY, described, [other["id"] + 1])


@pytest.mark.parametrize(
    ("command", "answer", "words"),
    [
        ("crm.item.fields", {"fields": []}, "crm.item.fields returned no fields"),
        ("crm.item.fields", [], "crm.item.fields returned no fields"),
        ("crm.category.list", {"categories": []}, "crm.category.list returned no funnel of process production"),
        ("crm.category.list", [], "crm.category.list returned no funnel of process production"),
        ("crm.category.list", {"categories": [{"name": "Иванова"}]}, "crm.category.list"),
        ("crm.category.list", {"categories": ["Иванова"]}, "crm.category.list"),
        ("crm.category.list", {"categories": [{"id": "Иванова"}]}, "crm.category.list"),
        ("crm.status.list", {"statuses": []}, "crm.status.list returned dict"),
        ("crm.status.list", [{"NAME": "Иванова"}], "STATUS_ID breaks the contract"),
    ],
)
def test_a_description_that_breaks_its_promise_fails_and_names_the_method(
    portal: StandInPortal, twist: Twist, command: str, answer: Any, words: str
) -> None:
    def change(method: str, params: Record, body: Any) -> Any:
        for name, text in params["cmd"].items():
            if text.startswith(command + "?"):
                body["result"]["result"][name] = answer
        return body

    twist(change)
    with connect(portal) as client, pytest.raises(ContractBrokenError) as caught:
        client.describe([TASKLY])
    assert words in str(caught.value)
    assert "Иванова" not in str(caught.value)


@pytest.mark.parametrize("time", [[], {}, {"date_start": ""}, {"date_start": "gestern"}, {"date_start": 7}])
def test_a_portal_that_does_not_tell_the_time_fails_when_it_is_asked(
    portal: StandInPortal, twist: Twist, time: Any
) -> None:
    twist(lambda method, params, body: body | {"time": time})
    with connect(portal) as client:
        assert len(client.users()) == len(portal.state.users)
        with pytest.raises(ContractBrokenError, match="the portal's clock is unknown"):
            _ = client.now


# --- The webhook itself ---


def test_the_webhooks_scopes_and_owner_are_told(portal: StandInPortal, twist: Twist) -> None:
    with connect(portal) as client:
        assert client.scopes() == frozenset(portal.scopes)
        owner = client.current_user()
        assert (owner.id, owner.is_admin) == (portal.state.webhook_user, True)
    twist(lambda method, params, body: {"result": {"ID": "12", "ADMIN": True}} if method == "profile" else body)
    with connect(portal) as client:
        assert (client.current_user().id, client.current_user().is_admin) == (12, True)


@pytest.mark.parametrize("result", [{}, "crm", [1], {"crm": "crm"}])
def test_scopes_that_are_no_list_of_names_fail(portal: StandInPortal, twist: Twist, result: Any) -> None:
    twist(lambda method, params, body: {"result": result})
    with connect(portal) as client, pytest.raises(ContractBrokenError, match="no list of scopes"):
        client.scopes()


def test_a_notification_reaches_the_portal_or_fails_with_a_sentence(portal: StandInPortal, twist: Twist) -> None:
    results: list[Any] = [118, False]
    twist(lambda method, params, body: {"result": results.pop(0)})
    with connect(portal) as client:
        client.notify(7, "Оценки не обновлены")
        assert portal.log[-1].method == "im.notify.system.add"
        assert portal.log[-1].params == {"USER_ID": 7, "MESSAGE": "Оценки не обновлены"}
        with pytest.raises(RequestRefusedError, match="check that the user"):
            client.notify(7, "Оценки не обновлены")


def test_a_webhook_without_im_is_told_which_scope_to_add(portal: StandInPortal) -> None:
    assert "im" not in portal.scopes
    with (
        connect(portal) as client,
        pytest.raises(ScopeMissingError, match=r"im\.notify\.system\.add: add the scope im "),
    ):
        client.notify(7, "Оценки не обновлены")


# --- Long readings ---


def test_a_long_reading_says_how_far_it_is_and_how_far_it_has_to_go(
    portal: StandInPortal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "SAY_EVERY_SECONDS", 0)
    caplog.set_level("INFO", logger="sources.bitrix24")
    items = fill(portal.state, TASKLY, many(TASKLY, 9_000))
    with connect(portal) as client:
        assert client.stubs(TASKLY).num_rows == len(items)
        client.tasks(range(1, 3_001))
    lines = [record.getMessage() for record in caplog.records]
    assert "portal: process production: 200 elements" in lines
    assert "portal: process production: 3 450 of about 9 000 elements" in lines
    assert "portal: linked tasks: 2 500 of 3 000 elements" in lines


def test_a_short_reading_says_nothing(portal: StandInPortal, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="sources.bitrix24")
    read(portal, TASKLY, FEBRUARY, MARCH)
    assert caplog.records == []


# --- The client itself ---


def test_a_client_that_is_not_open_says_so(portal: StandInPortal) -> None:
    client = connect(portal)
    with pytest.raises(PortalError, match="use it as a context manager"):
        client.users()
    with client:
        assert client.users()
    with pytest.raises(PortalError, match="use it as a context manager"):
        client.users()
    with client:
        assert client.departments()


def test_a_reading_needs_only_what_describe_said(portal: StandInPortal) -> None:
    described = ProcessOnPortal(definitions={}, stages=frozenset(), failure_stages=frozenset())
    with connect(portal) as client, pytest.raises(KeyError):
        client.ratings(TASKLY, described, FEBRUARY, MARCH)
