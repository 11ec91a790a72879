"""The oracle of history, judged by cases small enough to be decided by reading them."""

from datetime import date, datetime, timedelta
from typing import Any

from sources.stand_in.chronicle import chronicle
from sources.stand_in.limits import Clock
from sources.stand_in.server import Admin
from sources.stand_in.state import MOSCOW, PortalState, Record
from sources.stand_in.truth import (
    RatingEvent,
    Sighting,
    department_versions,
    employee_versions,
    rating_events,
    rating_truth,
    sight,
)
from tests.stand_in.test_truth import EXECUTOR, SETTER, item, portal

FIRST, END = date(1970, 1, 1), date(2100, 1, 1)


def moment(day: int, hour: int = 3, month: int = 5) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=MOSCOW)


def may(day: int) -> date:
    return date(2026, 5, day)


def watch(state: PortalState, *steps: tuple[datetime, dict[str, dict[int, Record | None]]]) -> list[Sighting]:
    """Runs at moments; before each, rows of users, departments or items are changed or taken out."""
    sightings = []
    for when, changes in steps:
        for table, rows in changes.items():
            place: dict[int, Record] = state.processes[130].items if table == "items" else getattr(state, table)
            for number, row in rows.items():
                if row is None:
                    del place[number]
                else:
                    place[number] = place.get(number, {}) | row
        sightings.append(sight(state, when))
    return sightings


def versions(sightings: list[Sighting], employee: int) -> list[tuple[Any, ...]]:
    return [
        (v.department_id, v.is_active, v.valid_from, v.valid_to, v.is_current, v.is_inferred)
        for v in employee_versions(sightings)
        if v.employee_id == employee
    ]


def tree(sightings: list[Sighting], department: int) -> list[tuple[Any, ...]]:
    return [
        (v.name, v.parent_id, v.head_employee_id, v.valid_from, v.valid_to, v.is_current, v.is_inferred)
        for v in department_versions(sightings)
        if v.department_id == department
    ]


# --- Employees ---


def test_the_first_version_holds_since_ever_and_a_move_starts_one_on_the_day_it_was_seen() -> None:
    seen = watch(
        portal(), (moment(3), {}), (moment(9), {"users": {SETTER: {"UF_DEPARTMENT": [4, 2]}}}), (moment(11), {})
    )
    assert versions(seen, SETTER) == [
        (2, True, FIRST, may(9), False, True),
        (4, True, may(9), END, True, False),
    ]


def test_names_and_positions_make_versions_too() -> None:
    state = portal()
    state.users[SETTER] |= {"LAST_NAME": " Ким", "NAME": "Анна", "SECOND_NAME": None, "WORK_POSITION": None}
    seen = watch(state, (moment(3), {}), (moment(9), {"users": {SETTER: {"WORK_POSITION": "Юрист"}}}))
    found = [(v.full_name, v.position) for v in employee_versions(seen) if v.employee_id == SETTER]
    assert found == [("Ким Анна", ""), ("Ким Анна", "Юрист")]


def test_the_dismissed_keep_the_department_they_had_and_others_without_one_belong_to_none() -> None:
    left: dict[int, Record | None] = {SETTER: {"ACTIVE": False, "UF_DEPARTMENT": []}, 21: {"UF_DEPARTMENT": []}}
    seen = watch(portal(), (moment(3), {}), (moment(9), {"users": left}))
    assert versions(seen, SETTER)[1][:2] == (2, False)
    assert versions(seen, 21)[1][:2] == (0, True)


def test_who_is_not_shown_any_more_counts_as_dismissed_until_they_come_back() -> None:
    state = portal()
    kept = dict(state.users[SETTER])
    seen = watch(
        state,
        (moment(3), {}),
        (moment(9), {"users": {SETTER: None}}),
        (moment(10), {}),
        (moment(20), {"users": {SETTER: kept}}),
    )
    assert versions(seen, SETTER) == [
        (2, True, FIRST, may(9), False, True),
        (2, False, may(9), may(20), False, False),
        (2, True, may(20), END, True, False),
    ]


def test_of_several_runs_on_a_day_the_last_one_counts() -> None:
    seen = watch(
        portal(),
        (moment(3), {}),
        (moment(9, 3), {"users": {SETTER: {"UF_DEPARTMENT": [4]}, 21: {"UF_DEPARTMENT": [4]}}}),
        (moment(9, 9), {"users": {SETTER: {"UF_DEPARTMENT": [5]}, 21: {"UF_DEPARTMENT": [3]}}}),
    )
    assert [version[0] for version in versions(seen, SETTER)] == [2, 5]
    assert versions(seen, 21) == [(3, True, FIRST, END, True, True)], "back where it was: the day has no version"


# --- Departments ---


def test_departments_are_renamed_moved_and_led_by_others() -> None:
    seen = watch(
        portal(),
        (moment(3), {"departments": {3: {"NAME": "А"}}}),
        (moment(4), {"departments": {3: {"NAME": "Б"}}}),
        (moment(5), {"departments": {3: {"PARENT": "4", "UF_HEAD": "20"}}}),
    )
    assert tree(seen, 3) == [
        ("А", 2, 0, FIRST, may(4), False, True),
        ("Б", 2, 0, may(4), may(5), False, False),
        ("Б", 4, 20, may(5), END, True, False),
    ]


def test_a_department_that_is_gone_has_no_current_version_and_a_new_one_when_it_is_back() -> None:
    state = portal()
    row = dict(state.departments[3])
    seen = watch(state, (moment(3), {}), (moment(9), {"departments": {3: None}}))
    assert tree(seen, 3) == [("", 2, 0, FIRST, may(9), False, True)]
    seen += watch(state, (moment(9, 9), {"departments": {3: row}}))
    assert tree(seen, 3) == [("", 2, 0, FIRST, END, True, True)], "it was back on the same day"
    seen += watch(state, (moment(12), {"departments": {3: None}}), (moment(15), {"departments": {3: row}}))
    assert [version[3:] for version in tree(seen, 3)] == [
        (FIRST, may(12), False, True),
        (may(15), END, True, False),
    ]


# --- Ratings ---


def given(day: int, number: int = 1, **values: Any) -> Record:
    return item(number, createdTime=moment(day, 12).isoformat(), updatedTime=moment(day, 12).isoformat(), **values)


def test_a_rating_belongs_to_the_departments_of_its_day() -> None:
    state = portal(given(5), given(9, 2, ufTask=0), setter_departments=[2], executor_departments=[4])
    seen = watch(
        state,
        (moment(3), {}),
        (moment(9), {"users": {SETTER: {"UF_DEPARTMENT": [4]}, EXECUTOR: {"UF_DEPARTMENT": [2]}}}),
    )
    rows = rating_truth(state, sightings=seen)
    assert [(r.rater_department_id, r.ratee_department_id, r.exclusion_code) for r in rows] == [
        (4, 2, ""),
        (2, 4, "wrong_direction"),
    ]
    assert [r.rater_department_id for r in rating_truth(state)] == [2, 2]


def test_the_tree_of_the_day_tells_the_direction() -> None:
    state = portal(
        given(5, ufRater=21, ufRatee=31, ufTask=0),
        given(15, 2, ufRater=21, ufRatee=31, ufTask=0),
        setter_departments=[2],
        executor_departments=[4],
    )
    moved: dict[int, Record | None] = {3: {"PARENT": "1"}}
    seen = watch(state, (moment(3), {}), (moment(9), {"departments": moved}))
    assert [row.exclusion_code for row in rating_truth(state, sightings=seen)] == ["wrong_direction", ""]


def test_people_stay_known_and_strangers_have_no_department() -> None:
    state = portal(given(12), given(12, 2, ufRater=999, ufTask=0))
    seen = watch(state, (moment(3), {}), (moment(9), {"users": {EXECUTOR: None}}))
    rows = rating_truth(state, sightings=seen)
    assert [(r.rater_department_id, r.exclusion_code) for r in rows] == [(4, ""), (0, "unknown_rater")]
    assert rating_truth(state)[0].exclusion_code == "unknown_rater"


def test_a_department_that_was_not_there_that_day_is_unknown() -> None:
    state = portal(given(12))
    seen = watch(state, (moment(3), {}), (moment(9), {"departments": {4: None}}))
    assert rating_truth(state, sightings=seen)[0].rater_department_id == 0


def test_a_deleted_rating_is_what_a_run_saw_last() -> None:
    state = portal(given(5), given(5, 2, ufTask=0))
    seen = watch(state, (moment(6), {}))
    process = state.processes[130]
    process.deleted[1] = process.items.pop(1) | {"ufScore": 1}
    process.deleted[3] = given(7, 3)
    seen += watch(state, (moment(8), {}))
    rows = rating_truth(state, sightings=seen)
    assert [(row.rating_id, row.score, row.exclusion_code) for row in rows] == [(1, 5, "deleted"), (2, 5, "")]


def events(state: PortalState, sightings: list[Sighting]) -> list[RatingEvent]:
    return rating_events(sightings, state.config)


def test_events_of_a_rating_from_its_creation_to_its_restoration() -> None:
    state = portal(given(5))
    edited: Record = {"ufScore": 3, "ufComment": "Нет макета", "updatedTime": moment(8, 0, 6).isoformat()}
    touched: Record = {"updatedTime": moment(8, 1, 6).isoformat()}
    seen = watch(
        state,
        (moment(6), {}),
        (moment(9, 3, 6), {"items": {1: edited}}),
        (moment(10, 3, 6), {"items": {1: touched}}),
    )
    row = dict(state.processes[130].items[1])
    seen += watch(
        state,
        (moment(11, 3, 6), {"items": {1: None}}),
        (moment(12, 3, 6), {}),
        (moment(13, 3, 6), {"items": {1: row}}),
    )
    found = [(e.event, e.observed_on.day, e.is_after_freeze, e.old_score, e.new_score) for e in events(state, seen)]
    assert found == [
        ("create", 6, False, None, 5),
        ("edit", 9, True, 5, 3),
        ("delete", 11, True, 3, None),
        ("restore", 13, True, 3, 3),
    ]
    assert events(state, seen)[1].changed == {"score", "comment"}
    assert {e.period for e in events(state, seen)} == {date(2026, 5, 1)}


def test_a_change_before_the_freeze_is_before_it_even_when_it_is_seen_later() -> None:
    state = portal(given(5))
    before: Record = {"ufScore": 4, "updatedTime": moment(7, 23, 6).isoformat()}
    seen = watch(state, (moment(6), {}), (moment(20, 3, 6), {"items": {1: before}}))
    assert [e.is_after_freeze for e in events(state, seen)] == [False, False]


def test_an_edit_that_moves_a_rating_counts_in_the_month_it_moves_to() -> None:
    state = portal(given(2, ufPeriod="2026-05-01T03:00:00+03:00"), cadence="month")
    moved: Record = {"ufPeriod": "2026-04-01T03:00:00+03:00", "updatedTime": moment(9).isoformat()}
    seen = watch(state, (moment(3), {}), (moment(10), {"items": {1: moved}}))
    (edit,) = events(state, seen)[1:]
    assert (edit.period, edit.changed, edit.is_after_freeze) == (date(2026, 4, 1), frozenset({"period"}), True)


def test_every_role_is_watched_and_empty_is_empty_however_it_is_written() -> None:
    state = portal(given(5, ufComment=None, ufTask=None))
    values: dict[str, Any] = {"ufComment": "", "ufTask": 0}
    seen = watch(state, (moment(6), {}), (moment(7), {"items": {1: values}}))
    assert [e.event for e in events(state, seen)] == ["create"]
    changed = {
        "ufRater": 31,
        "ufRatee": 21,
        "ufTask": 500,
        "stageId": "DT130_1:NEW",
        "updatedTime": moment(8).isoformat(),
    }
    seen += watch(state, (moment(9), {"items": {1: changed}}))
    assert events(state, seen)[1].changed == {"rater", "ratee", "task", "stage"}


def test_what_comes_and_goes_between_two_runs_has_no_events() -> None:
    state = portal()
    seen = watch(state, (moment(3), {}))
    state.processes[130].deleted[1] = given(4)
    seen += watch(state, (moment(5), {}))
    assert events(state, seen) == []
    assert rating_truth(state, sightings=seen) == []


def test_a_sighting_does_not_change_with_the_portal() -> None:
    state = portal(given(5))
    seen = sight(state, moment(6, 1))
    state.users[SETTER]["UF_DEPARTMENT"].append(4)
    state.processes[130].items[1]["ufScore"] = 1
    assert seen.day == may(6)
    assert seen.state.now == moment(6, 1)
    assert seen.state.users[SETTER]["UF_DEPARTMENT"] == [2]
    assert seen.state.processes[130].items[1]["ufScore"] == 5


def test_a_story_watched_week_by_week_comes_out_whole() -> None:
    end = datetime(2026, 11, 20, 12, tzinfo=MOSCOW)
    story = chronicle(3, "tiny", datetime(2026, 9, 2, tzinfo=MOSCOW), end)
    admin = Admin(story.state, Clock(story.state.now, MOSCOW))
    seen = [sight(story.state, story.state.now)]
    while story.state.now + timedelta(days=7) < end:
        story.advance(admin, story.state.now + timedelta(days=7))
        seen.append(sight(story.state, story.state.now))
    story.advance(admin, end)
    seen.append(sight(story.state, story.state.now))
    happened = rating_events(seen, story.state.config)
    rows = rating_truth(story.state, sightings=seen)
    alive: dict[tuple[str, int], bool] = {}
    for event in happened:
        alive[event.process_key, event.rating_id] = event.event != "delete"
    assert alive == {(row.process_key, row.rating_id): not row.is_deleted for row in rows}
    assert {event.event for event in happened} == {"create", "edit", "delete", "restore"}
    people = employee_versions(seen)
    changed = {e.id for e in story.people_events if e.kind in ("left", "moved", "away", "vanished")}
    assert changed <= {v.employee_id for v in people if not v.is_inferred}
    (merged,) = [e.id for e in story.people_events if e.kind == "merged"]
    assert not any(v.is_current for v in department_versions(seen) if v.department_id == merged)
