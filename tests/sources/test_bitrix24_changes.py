"""What changed since the last run: counted, found by time, swept; and whatever the newest elements prove."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.bitrix24 import Bitrix24, Census, FilterBrokenError, RightsLostError, UnknownProcessError
from sources.contracts import STUB_COLUMNS, ContractBrokenError, Process
from sources.stand_in.limits import Fault
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
    ids,
    many,
    read,
)

# --- Census ---


def census(portal: StandInPortal, **known: int) -> list[Census]:
    asked = {process.entity_type_id: known.get(process.key, 0) for process in PROCESSES}
    with connect(portal) as client:
        found = client.census(asked)
        assert client.requests == 1
    assert list(found) == list(asked)
    return list(found.values())


def test_a_census_counts_every_process_in_one_request(portal: StandInPortal) -> None:
    fill(portal.state, TASKLY, [{"id": number} for number in (3, 4, 9, 200)])
    fill(portal.state, BACK, many(BACK, 120))
    fill(portal.state, MONTHLY, [])
    assert census(portal, production=9, production_back=100) == [
        Census(last_id=200, elements=4, known=3),
        Census(last_id=7 + 3 * 119, elements=120, known=32),
        Census(last_id=0, elements=0, known=0),
    ]
    assert census(portal, production=500, support_month=7) == [
        Census(200, 4, 4),
        Census(7 + 3 * 119, 120, 0),
        Census(0, 0, 0),
    ]
    portal.admin.delete_item(TASKLY.entity_type_id, 4)
    assert census(portal, production=200)[0] == Census(last_id=200, elements=3, known=3)
    portal.hidden_items.add((TASKLY.entity_type_id, 200))
    assert census(portal, production=200)[0] == Census(last_id=9, elements=2, known=2)


def test_sixteen_processes_are_one_request_and_the_seventeenth_another(portal: StandInPortal) -> None:
    template = portal.state.processes[TASKLY.entity_type_id]
    kinds = list(range(2000, 2034, 2))
    portal.state.processes |= dict.fromkeys(kinds, template)
    with connect(portal) as client:
        assert client.census(dict.fromkeys(kinds[:16], 0)) == dict.fromkeys(
            kinds[:16], Census(max(template.items), len(template.items), 0)
        )
        assert client.requests == 1
        assert len(client.census(dict.fromkeys(kinds, 0))) == 17
        assert client.requests == 3
        assert client.census({}) == {}
        assert client.requests == 3
    assert max(len(entry.params["cmd"]) for entry in portal.log) == 48


@pytest.mark.parametrize("command", range(3))
def test_a_count_that_fails_for_a_time_is_asked_again_with_what_it_refers_to(
    portal: StandInPortal, command: int
) -> None:
    fill(portal.state, TASKLY, [{"id": number} for number in (3, 4, 9)])
    portal.faults += [Fault("batch_command_error", command=command), Fault("batch_command_error", at=2)]
    with connect(portal) as client:
        assert client.census({TASKLY.entity_type_id: 4}) == {TASKLY.entity_type_id: Census(9, 3, 2)}
    assert [len(entry.params["cmd"]) for entry in portal.log] == [3, 3, 3]


@pytest.mark.parametrize("total", [None, "", "7", True, -1, 0, [], {}])
@pytest.mark.parametrize("name", ["all1036", "known1036"])
def test_a_count_the_portal_does_not_give_is_no_zero(
    portal: StandInPortal, twist: Twist, name: str, total: Any
) -> None:
    def change(method: str, params: Record, body: Any) -> Any:
        body["result"]["result_total"][name] = total
        return body

    twist(change)
    with connect(portal) as client, pytest.raises(ContractBrokenError, match=r"no usable total\): deletions cannot"):
        client.census({1036: 5})


def test_a_census_without_any_totals_fails(portal: StandInPortal, twist: Twist) -> None:
    def change(method: str, params: Record, body: Any) -> Any:
        del body["result"]["result_total"]
        return body

    twist(change)
    with connect(portal) as client, pytest.raises(ContractBrokenError, match="no usable total"):
        client.census({1036: 0})


def test_a_census_of_a_process_that_is_gone_says_so(portal: StandInPortal) -> None:
    with connect(portal) as client, pytest.raises(UnknownProcessError, match="it was deleted, or hidden"):
        client.census({1036: 0, 4242: 0})


# --- Changed, and all ---


def test_changed_elements_are_those_edited_since_the_second(portal: StandInPortal) -> None:
    moments = ["2026-03-09T23:59:59", "2026-03-10T00:00:00", "2026-03-10T00:00:01", "2026-03-15T12:00:00"]
    fill(
        portal.state,
        TASKLY,
        [{"createdTime": "2026-02-05T10:00:00+03:00", "updatedTime": f"{moment}+03:00"} for moment in moments],
    )
    since = datetime(2026, 3, 10, 0, 0, 0, 999_999, tzinfo=MOSCOW)
    with connect(portal) as client:
        table = client.changed(TASKLY, since)
        assert table.schema == STUB_COLUMNS
        assert ids(table) == [2, 3, 4]
        assert table.column("period").to_pylist() == [FEBRUARY] * 3
        assert table.column("updated_at").to_pylist() == [
            datetime.fromisoformat(f"{each}+03:00") for each in moments[1:]
        ]
        assert ids(client.changed(TASKLY, since.astimezone(ZoneInfo("America/New_York")))) == [2, 3, 4]
        assert ids(client.changed(TASKLY, datetime(2026, 3, 16, tzinfo=MOSCOW))) == []


@pytest.mark.parametrize("process", [TASKLY, MONTHLY], ids=["by task", "by month"])
@pytest.mark.parametrize("count", [0, 1, 50, 199, 600])
def test_a_sweep_holds_every_element_with_the_month_and_time_that_ratings_give_it(
    portal: StandInPortal, process: Process, count: int
) -> None:
    fill(portal.state, process, many(process, count))
    with connect(portal) as client:
        stubs = client.stubs(process)
    assert stubs.schema == STUB_COLUMNS
    ratings = read(portal, process, date(2020, 1, 1), date(2030, 12, 1))
    assert stubs.to_pylist() == ratings.select(STUB_COLUMNS.names).to_pylist()
    assert stubs.num_rows == count


@settings(max_examples=25, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 40 * 86_400)), max_size=20),
    since=st.integers(0, 40 * 86_400),
)
def test_a_sweep_and_a_watermark_agree_on_what_changed(
    shared: StandInPortal, edits: list[tuple[int, int]], since: int
) -> None:
    start = datetime(2026, 2, 1, tzinfo=MOSCOW)
    rows = [{"createdTime": start.isoformat(), "updatedTime": start.isoformat()} for _ in range(30)]
    items = fill(shared.state, MONTHLY, rows)
    shared.portal._methods.forget()
    for key, seconds in edits:
        items[key]["updatedTime"] = (start + timedelta(seconds=seconds)).isoformat()
    moment = start + timedelta(seconds=since)
    with connect(shared) as client:
        swept = [row for row in client.stubs(MONTHLY).to_pylist() if row["updated_at"] >= moment]
        assert client.changed(MONTHLY, moment).to_pylist() == swept


# --- What the newest elements prove ---


def probe(client: Bitrix24) -> None:
    client.probe(PROCESSES, client.describe(PROCESSES))


def test_a_portal_that_filters_as_it_should_passes_in_two_requests(portal: StandInPortal) -> None:
    with connect(portal) as client:
        described = client.describe(PROCESSES)
        before = client.requests
        client.probe(PROCESSES, described)
        assert client.requests - before == 2
        client.changed(TASKLY, datetime(2026, 3, 10, tzinfo=MOSCOW))
    assert "2026-03-10T00:00:00+03:00" in unquote(portal.log[-1].params["cmd"]["p0"])


def test_processes_without_elements_prove_nothing_and_are_no_error(portal: StandInPortal, twist: Twist) -> None:
    for process in PROCESSES:
        fill(portal.state, process, [])
    with connect(portal) as client:
        probe(client)
        assert client.requests == 3
        client.probe([], {})
        assert client.requests == 3


def deaf_to(portal: StandInPortal, monkeypatch: pytest.MonkeyPatch, hears: Callable[[str, str], bool]) -> None:
    """A portal that passes over conditions on times unless `hears` (field, value) says it reads them."""
    methods = portal.portal._methods
    answer = methods._methods["crm.item.list"]

    def listed(params: Record) -> Any:
        kept = {
            name: value
            for name, value in dict(params.get("filter") or {}).items()
            if not name.endswith("Time") or hears(name.lstrip("<>="), str(value))
        }
        return answer[0](params | {"filter": kept})

    monkeypatch.setitem(methods._methods, "crm.item.list", (listed, answer[1]))


def test_a_portal_that_reads_only_plain_times_is_asked_in_plain_times(
    portal: StandInPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf_to(portal, monkeypatch, lambda field, value: "T" not in value)
    with connect(portal) as client:
        described = client.describe(PROCESSES)
        client.probe(PROCESSES, described)
        march = client.ratings(TASKLY, described[TASKLY.key], MARCH, MARCH)
        assert "2026-03-01 00:00:00" in unquote(portal.log[-1].params["cmd"]["p0"])
        changed = client.changed(TASKLY, datetime(2026, 3, 10, tzinfo=MOSCOW))
    items = portal.state.processes[TASKLY.entity_type_id].items
    assert ids(march) == [key for key, row in sorted(items.items()) if row["createdTime"] >= "2026-03"]
    assert ids(changed) == [key for key, row in sorted(items.items()) if row["updatedTime"] >= "2026-03-10"]
    assert 0 < len(changed) < len(items)


@pytest.mark.parametrize("deaf", ["createdTime", "updatedTime"])
def test_a_portal_that_does_not_filter_by_time_fails_with_a_sentence(
    portal: StandInPortal, monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    deaf_to(portal, monkeypatch, lambda field, value: field != deaf)
    with connect(portal) as client, pytest.raises(FilterBrokenError, match=r"check portal\.timezone .* support\.$"):
        probe(client)


def test_a_portal_that_refuses_to_filter_by_time_fails_with_the_same_sentence(
    portal: StandInPortal, twist: Twist
) -> None:
    def change(method: str, params: Record, body: Any) -> Any:
        refused = {
            name: {"error": "INVALID_ARG_VALUE", "error_description": "Invalid filter"}
            for name, command in params["cmd"].items()
            if "edTime" in command.partition("filter")[2].partition("order")[0]
        }
        results = dict(body["result"]["result"])
        body["result"]["result"] = {name: each for name, each in results.items() if name not in refused}
        body["result"]["result_error"] = refused
        return body

    twist(change)
    with connect(portal) as client, pytest.raises(FilterBrokenError):
        probe(client)


@pytest.mark.parametrize("edits", [1, 2])
def test_an_element_that_is_edited_or_deleted_under_the_probe_is_no_broken_filter(
    portal: StandInPortal, edits: int
) -> None:
    kind = PROCESSES[-1].entity_type_id
    acts: list[Callable[[], Any]] = [
        lambda: portal.admin.edit_item(
            kind, max(portal.state.processes[kind].items), {MONTHLY.fields.comment: "Иначе"}
        ),
        lambda: portal.admin.delete_item(kind, max(portal.state.processes[kind].items)),
    ]
    with connect(portal) as client:
        described = client.describe(PROCESSES)
        base = portal.log[-1].number

        def between(number: int) -> None:
            if (number - base) % 2 == 0 and (number - base) // 2 <= edits:
                acts[(number - base) // 2 - 1]()

        portal.between_requests = between
        client.probe(PROCESSES, described)
        client.changed(TASKLY, datetime(2026, 3, 10, tzinfo=MOSCOW))
    assert "2026-03-10T00:00:00+03:00" in unquote(portal.log[-1].params["cmd"]["p0"])


def respelt(old: str, new: str | None) -> Callable[[str, Record, Any], Any]:
    """A portal that returns a field under another name, or not at all."""

    def change(method: str, params: Record, body: Any) -> Any:
        for result in dict(body["result"]["result"]).values():
            for row in result.get("items", []) if isinstance(result, dict) else []:
                if old in row:
                    value = row.pop(old)
                    if new:
                        row[new] = value
        return body

    return change


@pytest.mark.parametrize("role", ["score", "comment", "rater", "ratee", "task"])
def test_fields_that_come_back_in_their_original_spelling_are_read(
    portal: StandInPortal, twist: Twist, role: str
) -> None:
    name = TASKLY.fields.names()[role]
    calm = read(portal, TASKLY, FEBRUARY, MARCH)
    upper = str(portal.state.processes[TASKLY.entity_type_id].fields[name]["upperName"])
    assert upper != name
    twist(respelt(name, upper))
    with connect(portal) as client:
        probe(client)
    assert read(portal, TASKLY, FEBRUARY, MARCH) == calm


@pytest.mark.parametrize("role", ["score", "comment", "rater", "ratee", "task"])
def test_a_field_that_never_comes_back_fails_by_name_and_is_no_missing_score(
    portal: StandInPortal, twist: Twist, role: str
) -> None:
    name = TASKLY.fields.names()[role]
    twist(respelt(name, None))
    words = rf"process production without the field {name}: check fields\.{role}"
    with connect(portal) as client, pytest.raises(ContractBrokenError, match=words):
        probe(client)
    with pytest.raises(ContractBrokenError, match=words):
        read(portal, TASKLY, FEBRUARY, MARCH)


# --- Vanished, or the whole process is ---


def test_elements_of_a_process_that_is_gone_were_not_deleted(portal: StandInPortal) -> None:
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]
        numbers = sorted(portal.state.processes[TASKLY.entity_type_id].items)
        del portal.state.processes[TASKLY.entity_type_id]
        with pytest.raises(UnknownProcessError, match="no smart process with entityTypeId 1036"):
            client.vanished(TASKLY, described, numbers)
        with pytest.raises(UnknownProcessError, match="no longer has a smart process that is configured"):
            client.ratings(TASKLY, described, MARCH, MARCH)
        with pytest.raises(UnknownProcessError, match="no longer has a smart process that is configured"):
            client.stubs(TASKLY)


def test_a_process_that_goes_while_its_elements_are_asked_for_is_noticed(portal: StandInPortal) -> None:
    items = fill(portal.state, TASKLY, many(TASKLY, 120))
    with connect(portal) as client:
        described = client.describe([TASKLY])[TASKLY.key]
        base = portal.log[-1].number

        def between(number: int) -> None:
            if number - base == 2:
                del portal.state.processes[TASKLY.entity_type_id]

        portal.between_requests = between
        with pytest.raises(UnknownProcessError):
            client.vanished(TASKLY, described, list(items))


def test_rights_lost_on_a_whole_process_are_no_deletion_either(portal: StandInPortal, twist: Twist) -> None:
    def change(method: str, params: Record, body: Any) -> Any:
        denied = {name: {"error": "ACCESS_DENIED", "error_description": ""} for name in params["cmd"]}
        if any(command.startswith("crm.item.list") for command in params["cmd"].values()):
            body["result"] |= {"result": [], "result_error": denied}
        return body

    twist(change)
    with connect(portal) as client:
        with pytest.raises(RightsLostError, match=r"denies crm\.item\.list"):
            client.stubs(TASKLY)
        with pytest.raises(RightsLostError, match=r"denies crm\.item\.list"):
            client.census({1036: 0})
