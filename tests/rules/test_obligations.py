"""Who should have rated whom: judged by hand, by properties, and against the company that knows the truth."""

from collections.abc import Callable, Iterable
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.changes import task_groups
from assets.obligations import OBLIGATION_COLUMNS, expectations
from assets.rules.disclosure import PROFILES
from assets.rules.obligations import FULFILLED, MISSED, NOT_FULFILLING, WAIVED, WAIVERS, Expectation, find_obligations
from assets.rules.organisation import FIRST_DAY, NO_END, Organisation
from assets.rules.policy import PolicyBook
from assets.rules.structure import EXCLUSION_CODES
from assets.terms import Terms
from sources.contracts import TASK_COLUMNS, GroupTask, Process, parse_records, tasks_table
from sources.stand_in.admin import Admin
from sources.stand_in.chronicle import chronicle
from sources.stand_in.company import generate
from sources.stand_in.limits import Clock
from sources.stand_in.state import MOSCOW, PortalState, Record
from sources.stand_in.truth import (
    Sighting,
    department_versions,
    employee_versions,
    obligation_truth,
    rating_truth,
    sight,
)

SETTER, OTHER_SETTER, EXECUTOR, HELPER, LEAVER, MOVER, GONE, RETURNED, BOT = 20, 21, 30, 31, 32, 33, 34, 35, 900
ACCOUNTS, PRODUCTION, LOGISTICS = 2, 4, 6
APRIL, MAY = date(2026, 4, 1), date(2026, 5, 1)
TODAY = date(2026, 9, 1)

TASKS = Expectation(group_id=11, is_monthly=False)
MONTHS = Expectation(group_id=12, is_monthly=True, min_tasks=2)
DIRECTED = Expectation(
    group_id=13,
    is_monthly=False,
    setter_departments=frozenset({ACCOUNTS}),
    executor_departments=frozenset({PRODUCTION}),
)
EXPECTED = {"task": TASKS, "month": MONTHS, "directed": DIRECTED}


def person(
    number: int, department: int, since: date = FIRST_DAY, until: date = NO_END, *, active: bool = True
) -> Record:
    return {
        "employee_id": number,
        "department_id": department,
        "is_active": active,
        "valid_from": since,
        "valid_to": until,
        "is_inferred": since == FIRST_DAY,
    }


COMPANY = Organisation(
    pd.DataFrame(
        [
            person(SETTER, ACCOUNTS),
            person(OTHER_SETTER, ACCOUNTS),
            person(EXECUTOR, PRODUCTION),
            person(HELPER, PRODUCTION),
            person(LEAVER, PRODUCTION, until=date(2026, 5, 5)),
            person(LEAVER, PRODUCTION, date(2026, 5, 5), active=False),
            person(MOVER, PRODUCTION, until=date(2026, 4, 20)),
            person(MOVER, LOGISTICS, date(2026, 4, 20)),
            person(GONE, PRODUCTION, active=False),
            person(RETURNED, PRODUCTION, until=date(2026, 6, 1), active=False),
            person(RETURNED, PRODUCTION, date(2026, 6, 1)),
        ]
    ),
    Organisation.build({}, {ACCOUNTS: 1, PRODUCTION: 1, LOGISTICS: 1, 1: 0}).departments,
)


def task(number: int = 500, **values: Any) -> Record:
    closed_on: date = values.get("closed_on", date(2026, 4, 15))
    return {
        "task_id": number,
        "group_id": 11,
        "setter_id": SETTER,
        "executor_id": EXECUTOR,
        "period": closed_on.replace(day=1),
        "closed_at": datetime(closed_on.year, closed_on.month, closed_on.day, 12, tzinfo=UTC),
        "closed_on": closed_on,
        "title": "Макет",
        "is_deleted": False,
    } | values


def rating(number: int = 1, **values: Any) -> Record:
    return {
        "process_key": "task",
        "rating_id": number,
        "period": APRIL,
        "rated_on": date(2026, 4, 16),
        "rater_id": EXECUTOR,
        "ratee_id": SETTER,
        "task_id": 500,
        "is_deleted": False,
        "exclusion_code": "",
    } | values


def monthly(number: int = 1, **values: Any) -> Record:
    return rating(number, **({"process_key": "month", "task_id": 0} | values))


def find(tasks: Iterable[Record], ratings: Iterable[Record] = (), today: date = TODAY) -> list[Record]:
    known: pd.DataFrame = pa.Table.from_pylist(list(tasks), TASK_COLUMNS).to_pandas()
    given_: list[Record] = list(ratings)
    table = pd.DataFrame(given_, columns=list(rating()))
    found = find_obligations(known, table, EXPECTED, COMPANY, 8, today)
    rows: list[Record] = pa.Table.from_pandas(found, OBLIGATION_COLUMNS, preserve_index=False).to_pylist()
    return rows


def only(tasks: Iterable[Record], ratings: Iterable[Record] = (), today: date = TODAY) -> Record:
    (row,) = find(tasks, ratings, today)
    return row


def test_a_closed_task_expects_a_rating_by_its_executor_of_its_setter() -> None:
    assert only([task()]) == {
        "process_key": "task",
        "period": APRIL,
        "rater_id": EXECUTOR,
        "ratee_id": SETTER,
        "rater_department_id": PRODUCTION,
        "ratee_department_id": ACCOUNTS,
        "task_id": 500,
        "tasks": 1,
        "expected_on": date(2026, 4, 15),
        "due_on": date(2026, 5, 8),
        "status": "missed",
        "waiver": "",
        "rating_id": 0,
        "rated_on": None,
    }


def test_no_tasks_expect_nothing() -> None:
    assert find([]) == []
    assert find([], [rating()]) == []


def test_every_executor_of_a_task_is_expected_to_rate() -> None:
    rows = find([task(), task(executor_id=HELPER)], [rating(7, rater_id=HELPER)])
    assert [(row["rater_id"], row["status"], row["rating_id"]) for row in rows] == [
        (EXECUTOR, "missed", 0),
        (HELPER, "fulfilled", 7),
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"executor_id": SETTER},
        {"executor_id": BOT},
        {"setter_id": BOT},
        {"setter_id": 0},
        {"group_id": 77},
        {"group_id": 13, "setter_id": EXECUTOR, "executor_id": SETTER},
    ],
)
def test_nothing_is_expected_of_own_tasks_bots_other_groups_and_swapped_departments(values: Record) -> None:
    assert find([task(**values)]) == []


def test_tasks_between_other_departments_are_expected_to_be_rated() -> None:
    moved = task(group_id=13, setter_id=MOVER, executor_id=SETTER, closed_on=date(2026, 4, 25))
    assert only([moved])["process_key"] == "directed"


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, FULFILLED),
        ({"rated_on": date(2026, 8, 1), "period": date(2026, 8, 1)}, FULFILLED),
        ({"exclusion_code": "unexplained"}, FULFILLED),
        ({"exclusion_code": "duplicate_rating"}, FULFILLED),
        ({"exclusion_code": "wrong_direction"}, FULFILLED),
        ({"is_deleted": True, "exclusion_code": "self_rating"}, MISSED),
        *(({"exclusion_code": code}, MISSED) for code in NOT_FULFILLING),
        ({"task_id": 501}, MISSED),
        ({"rater_id": HELPER}, MISSED),
        ({"ratee_id": OTHER_SETTER}, MISSED),
        ({"process_key": "directed"}, MISSED),
    ],
)
def test_what_fulfils_an_obligation_of_a_task(values: Record, status: str) -> None:
    row = only([task()], [rating(**values)])
    assert (row["status"], row["rating_id"]) == (status, 1 if status == FULFILLED else 0)


def test_of_several_ratings_the_lowest_id_that_fulfils_is_shown() -> None:
    ratings = [
        rating(9, rated_on=date(2026, 4, 30)),
        rating(3, exclusion_code="no_score"),
        rating(5, rated_on=date(2026, 4, 20)),
    ]
    row = only([task()], ratings)
    assert (row["rating_id"], row["rated_on"]) == (5, date(2026, 4, 20))


def test_a_month_expects_one_rating_of_each_setter_with_closed_tasks() -> None:
    tasks = [
        task(1, group_id=12, closed_on=date(2026, 4, 3)),
        task(2, group_id=12, closed_on=date(2026, 4, 28)),
        task(3, group_id=12, closed_on=date(2026, 4, 28), setter_id=OTHER_SETTER),
        task(4, group_id=12, closed_on=date(2026, 5, 2)),
        task(5, group_id=12, closed_on=date(2026, 5, 2)),
    ]
    ratings = [monthly(1, period=APRIL, rated_on=date(2026, 5, 2))]
    rows = find(tasks, ratings)
    assert [(r["period"], r["ratee_id"], r["tasks"], r["expected_on"], r["status"], r["waiver"]) for r in rows] == [
        (APRIL, SETTER, 2, date(2026, 4, 28), "fulfilled", ""),
        (APRIL, OTHER_SETTER, 1, date(2026, 4, 28), "waived", "below_minimum"),
        (MAY, SETTER, 2, date(2026, 5, 2), "missed", ""),
    ]
    assert {row["task_id"] for row in rows} == {0}


def test_a_rating_is_welcome_below_the_minimum_too() -> None:
    assert only([task(group_id=12)], [monthly()])["status"] == FULFILLED


def test_deleted_tasks_waive_only_when_no_other_is_left() -> None:
    gone = task(1, group_id=12, is_deleted=True, closed_on=date(2026, 4, 29))
    there = [task(number, group_id=12, closed_on=date(2026, 4, number)) for number in (2, 3)]
    row = only([gone, *there])
    assert (row["status"], row["tasks"], row["expected_on"]) == (MISSED, 2, date(2026, 4, 3))
    row = only([gone, there[0]])
    assert (row["waiver"], row["tasks"]) == ("below_minimum", 1)
    row = only([gone])
    assert (row["status"], row["waiver"], row["tasks"], row["expected_on"]) == (
        WAIVED,
        "task_deleted",
        0,
        date(2026, 4, 29),
    )
    assert only([gone], [monthly()])["status"] == FULFILLED


@pytest.mark.parametrize(
    ("closed_on", "today", "waiver"),
    [
        (date(2026, 4, 15), TODAY, "left"),
        (date(2026, 3, 15), TODAY, ""),
        (date(2026, 4, 15), date(2026, 5, 4), ""),
        (date(2026, 4, 15), date(2026, 5, 5), "left"),
    ],
)
def test_who_has_left_when_a_rating_is_due_need_not_give_it(closed_on: date, today: date, waiver: str) -> None:
    row = only([task(executor_id=LEAVER, closed_on=closed_on)], today=today)
    assert (row["status"], row["waiver"]) == (WAIVED if waiver else MISSED, waiver)


LAST_SIGNS: dict[str, Callable[[date], tuple[list[Record], list[Record]]]] = {
    "a rating": lambda day: ([], [rating(rater_id=GONE, task_id=999, rated_on=day)]),
    "a rating in another process": lambda day: ([], [monthly(rater_id=GONE, rated_on=day)]),
    "a rating deleted since": lambda day: ([], [rating(rater_id=GONE, is_deleted=True, rated_on=day)]),
    "a task": lambda day: ([task(9, executor_id=GONE, closed_on=day, group_id=77)], []),
    "a task deleted since": lambda day: ([task(9, executor_id=GONE, closed_on=day, group_id=77, is_deleted=True)], []),
}


@pytest.mark.parametrize("sign", LAST_SIGNS)
@pytest.mark.parametrize(("day", "waiver"), [(date(2026, 5, 7), "left"), (date(2026, 5, 8), "")])
def test_who_was_dismissed_before_the_first_run_has_left_after_the_last_sign_of_life(
    sign: str, day: date, waiver: str
) -> None:
    more_tasks, ratings = LAST_SIGNS[sign](day)
    row = only([task(executor_id=GONE), *more_tasks], ratings)
    assert (row["due_on"], row["waiver"]) == (date(2026, 5, 8), waiver)


def test_what_was_missed_long_before_somebody_left_is_missed_whenever_the_first_run_was() -> None:
    tasks = [task(1, executor_id=GONE, closed_on=date(2025, 12, 15)), task(2, executor_id=GONE, closed_on=MAY)]
    rows = find(tasks, [rating(rater_id=GONE, task_id=999, rated_on=date(2026, 5, 20))])
    assert [(row["status"], row["waiver"]) for row in rows] == [(MISSED, ""), (WAIVED, "left")]


def test_what_somebody_does_after_coming_back_does_not_undo_that_they_had_left() -> None:
    later = rating(rater_id=RETURNED, task_id=999, rated_on=date(2026, 7, 1))
    assert only([task(executor_id=RETURNED)], [later])["waiver"] == "left"
    assert only([task(executor_id=RETURNED, closed_on=MAY)], [later])["status"] == MISSED


def test_who_was_seen_leaving_has_left_on_that_day_whatever_comes_later() -> None:
    later = rating(rater_id=LEAVER, task_id=999, rated_on=date(2026, 7, 1))
    assert only([task(executor_id=LEAVER)], [later])["waiver"] == "left"


def test_the_first_waiver_that_fits_is_named() -> None:
    assert only([task(executor_id=LEAVER, group_id=12)])["waiver"] == "left"
    assert only([task(executor_id=LEAVER, group_id=12, is_deleted=True)])["waiver"] == "task_deleted"


def test_departments_are_those_of_the_day_of_closing() -> None:
    tasks = [task(1, executor_id=MOVER, closed_on=date(2026, 4, day)) for day in (19,)]
    tasks += [task(2, executor_id=MOVER, closed_on=date(2026, 4, 20))]
    assert [row["rater_department_id"] for row in find(tasks)] == [PRODUCTION, LOGISTICS]


# --- properties ---------------------------------------------------------------------------------------------------

PEOPLE = st.sampled_from([0, SETTER, OTHER_SETTER, EXECUTOR, HELPER, LEAVER, MOVER, GONE, RETURNED, BOT])
ANY_TASK = st.builds(
    lambda number, group, day, setter, executor, deleted: task(
        number,
        group_id=group,
        closed_on=date(2026, 4, 1) + timedelta(days=day),
        setter_id=setter,
        executor_id=executor,
        is_deleted=deleted,
    ),
    st.integers(1, 12),
    st.sampled_from([11, 12, 13, 77]),
    st.integers(0, 60),
    PEOPLE,
    PEOPLE,
    st.booleans(),
)
ANY_RATING = st.builds(
    lambda key, month, rater, ratee, number, deleted, code: rating(
        process_key=key,
        period=date(2026, month, 1),
        rater_id=rater,
        ratee_id=ratee,
        task_id=number,
        is_deleted=deleted,
        exclusion_code=code,
    ),
    st.sampled_from([*EXPECTED, "other"]),
    st.integers(4, 6),
    PEOPLE,
    PEOPLE,
    st.integers(0, 12),
    st.booleans(),
    st.sampled_from(["", *EXCLUSION_CODES]),
)
# A task stands in one month and has each executor once.
TASKS_ = st.lists(ANY_TASK, max_size=15, unique_by=lambda row: row["task_id"])
RATINGS = st.lists(ANY_RATING, max_size=15).map(lambda rows: [r | {"rating_id": n} for n, r in enumerate(rows, 1)])


@settings(max_examples=12, deadline=None)
@given(TASKS_, RATINGS, st.dates(date(2026, 4, 1), date(2026, 9, 1)))
def test_every_obligation_has_one_status_a_task_and_at_most_a_rating_of_its_own(
    tasks: list[Record], ratings: list[Record], today: date
) -> None:
    rows = find(tasks, ratings, today)
    keys = [(r["process_key"], r["period"], r["rater_id"], r["ratee_id"], r["task_id"]) for r in rows]
    assert len(set(keys)) == len(keys)
    asked = {(t["period"], t["executor_id"], t["setter_id"]) for t in tasks}
    for row in rows:
        assert (row["period"], row["rater_id"], row["ratee_id"]) in asked
        assert (row["status"] == WAIVED) == (row["waiver"] in WAIVERS)
        assert (row["status"] == FULFILLED) == (row["rating_id"] != 0) == (row["rated_on"] is not None)
        assert row["tasks"] or row["status"] == FULFILLED or row["waiver"] == "task_deleted"
        assert row["period"] <= row["expected_on"] < row["due_on"]
    for row in (row for row in rows if row["rating_id"]):
        given_ = ratings[row["rating_id"] - 1]
        assert not given_["is_deleted"]
        assert (given_["process_key"], given_["rater_id"], given_["ratee_id"]) == (
            row["process_key"],
            row["rater_id"],
            row["ratee_id"],
        )


@settings(max_examples=6, deadline=None)
@given(TASKS_, RATINGS, st.randoms(use_true_random=False))
def test_the_order_of_tasks_and_ratings_changes_nothing(
    tasks: list[Record], ratings: list[Record], chance: Random
) -> None:
    straight = find(tasks, ratings)
    chance.shuffle(tasks)
    chance.shuffle(ratings)
    assert find(tasks, ratings) == straight


@settings(max_examples=6, deadline=None)
@given(TASKS_, RATINGS)
def test_more_ratings_never_leave_more_obligations_open(tasks: list[Record], ratings: list[Record]) -> None:
    def given_to(rows: list[Record]) -> set[tuple[Any, ...]]:
        return {
            (r["process_key"], r["period"], r["rater_id"], r["ratee_id"], r["task_id"])
            for r in rows
            if r["status"] == FULFILLED
        }

    assert given_to(find(tasks, ratings[: len(ratings) // 2])) <= given_to(find(tasks, ratings))


# --- the company that knows the truth -----------------------------------------------------------------------------


def terms_of(state: PortalState) -> Terms:
    processes = tuple(Process.model_validate(process) for process in state.config["processes"])
    return Terms(processes, PolicyBook(()), "default", PROFILES["default"], state.config["release"]["freeze_day"])


def organisation_of(sightings: list[Sighting]) -> Organisation:
    people = [vars(version) for version in employee_versions(sightings)]
    departments = [vars(version) for version in department_versions(sightings)]
    return Organisation(pd.DataFrame(people), pd.DataFrame(departments))


def tasks_seen(sightings: list[Sighting]) -> pa.Table:
    """What reading every month at every sighting leaves in the vault."""
    now = sightings[-1].state
    last: dict[int, Record] = {}
    for sighting in sightings:
        last |= sighting.state.tasks
    tables = []
    for rows, is_deleted in (
        (now.tasks, False),
        ({number: row for number, row in last.items() if number not in now.tasks}, True),
    ):
        table = tasks_table(parse_records(GroupTask, list(rows.values()), "tasks.task.list"), ZoneInfo("Europe/Moscow"))
        flags = pa.array([is_deleted] * len(table), pa.bool_())
        tables.append(
            table.set_column(table.schema.get_field_index("is_deleted"), TASK_COLUMNS.field("is_deleted"), flags)
        )
    return pa.concat_tables(tables)


def assert_expected_as_the_oracle_does(
    state: PortalState, sightings: list[Sighting], since: date
) -> list[tuple[str, str]]:
    """Compares row by row.

    Returns:
        Statuses and waivers met.
    """
    terms = terms_of(state)
    tasks = tasks_seen(sightings).to_pandas()
    tasks = tasks[(tasks["period"] >= since) & tasks["group_id"].isin(task_groups(terms))]
    ratings = pd.DataFrame([vars(row) for row in rating_truth(state, sightings=sightings)])
    found = find_obligations(
        tasks, ratings, expectations(terms), organisation_of(sightings), terms.freeze_day, sightings[-1].day
    )
    names = OBLIGATION_COLUMNS.names
    mine = {tuple(row[name] for name in names) for row in pa.Table.from_pandas(found, OBLIGATION_COLUMNS).to_pylist()}
    truth = obligation_truth(state, sightings=sightings, since=since)
    assert len(mine) == len(found) == len(truth)
    assert mine == {astuple(row) for row in truth}
    return [(row.status, row.waiver) for row in truth]


@pytest.mark.parametrize(
    ("scale", "seed"),
    [*(("tiny", seed) for seed in range(1, 6)), ("demo", 1), pytest.param("demo", 2, marks=pytest.mark.slow)],
)
def test_a_company_is_expected_to_rate_as_the_oracle_says(scale: Any, seed: int) -> None:
    moment = datetime(2026, 11, 20, 12, tzinfo=MOSCOW)
    state = generate(seed, scale, moment)
    since = min(row.period for row in rating_truth(state))
    met = assert_expected_as_the_oracle_does(state, [sight(state, moment)], since)
    assert {(FULFILLED, ""), (MISSED, "")} <= set(met)
    if scale == "demo":
        assert {(WAIVED, "left"), (WAIVED, "below_minimum")} <= set(met)
    assert obligation_truth(state, since=since) == obligation_truth(state, sightings=[sight(state, moment)])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_company_whose_people_and_tasks_come_and_go_is_expected_to_rate_as_the_oracle_says(seed: int) -> None:
    chance = Random(seed)
    start, end = datetime(2026, 4, 1, 9, tzinfo=MOSCOW), datetime(2026, 7, 20, 18, tzinfo=MOSCOW)
    story = chronicle(seed, "tiny", start, end)
    admin = Admin(story.state, Clock(start, MOSCOW))
    sightings: list[Sighting] = []
    met: list[tuple[str, str]] = []
    for day in range(20, 110, 15):
        story.advance(admin, start + timedelta(days=day))
        sightings.append(sight(story.state, story.state.now))
        met += assert_expected_as_the_oracle_does(story.state, sightings, date(2026, 3, 1))
        closed = sorted(number for number, row in story.state.tasks.items() if row["status"] == "5")
        for number in chance.sample(closed, min(6, len(closed))):
            chance.choice((admin.delete_task, admin.reopen_task))(number)
        if story.state.deleted_tasks:
            admin.restore_task(chance.choice(sorted(story.state.deleted_tasks)))
    assert (WAIVED, "task_deleted") in met
