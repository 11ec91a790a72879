"""Structure rules: which ratings count, judged against a plain reading and against the oracle of made-up companies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from itertools import combinations
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import comments, reasons
from assets.rules.disclosure import PROFILES
from assets.rules.organisation import Organisation
from assets.rules.policy import PolicyBook
from assets.rules.structure import (
    EXCLUSION_CODES,
    ProcessTerms,
    check,
    copies_among,
    find_duplicates,
    freeze_date,
)
from assets.terms import Terms
from sources.contracts import (
    RATING_COLUMNS,
    Department,
    FieldDefinition,
    Process,
    Status,
    Task,
    User,
    parse_records,
    ratings_table,
)
from sources.stand_in.company import generate
from sources.stand_in.state import PortalState, Record
from sources.stand_in.truth import rating_truth

# --- a rating with nothing wrong, and ways to spoil it ------------------------------------------------------------

SETTER, EXECUTOR, STRANGER = 20, 30, 999
ACCOUNTS, ACCOUNTS_GROUP, PRODUCTION, PRODUCTION_GROUP = 2, 3, 4, 5
PARENTS = {1: 0, ACCOUNTS: 1, ACCOUNTS_GROUP: ACCOUNTS, PRODUCTION: 1, PRODUCTION_GROUP: PRODUCTION}
PEOPLE = {SETTER: ACCOUNTS, 21: ACCOUNTS_GROUP, EXECUTOR: PRODUCTION, 31: PRODUCTION_GROUP, 40: 0, 41: 77}
COMPANY = Organisation.build(PEOPLE, PARENTS)

TASK = ProcessTerms(is_monthly=False, comment_required_below=5)
MONTH = ProcessTerms(is_monthly=True, comment_required_below=5)
DIRECTED = ProcessTerms(
    is_monthly=False,
    comment_required_below=5,
    setter_departments=frozenset({ACCOUNTS}),
    executor_departments=frozenset({PRODUCTION}),
)
TERMS = {"task": TASK, "month": MONTH, "directed": DIRECTED}


def row(**values: Any) -> Record:
    moment = datetime(2026, 4, 15, 9, tzinfo=UTC)
    return {
        "process_key": "task",
        "rating_id": 10,
        "period": date(2026, 4, 1),
        "created_at": moment,
        "updated_at": moment,
        "rated_on": date(2026, 4, 15),
        "is_period_invalid": False,
        "stage_id": "SUCCESS",
        "is_failure_stage": False,
        "score": 5,
        "score_problem": "",
        "comment": "",
        "reason": "",
        "rater_id": EXECUTOR,
        "ratee_id": SETTER,
        "task_id": 500,
        "task_setter_id": SETTER,
        "task_executor_id": EXECUTOR,
        "task_title": "",
        "is_deleted": False,
    } | values


def frame(rows: Iterable[Record]) -> pd.DataFrame:
    table: pd.DataFrame = pa.Table.from_pylist(list(rows), RATING_COLUMNS).to_pandas()
    return table


def codes(*rows: Record, terms: dict[str, ProcessTerms] = TERMS, freeze_day: int = 8) -> list[str]:
    return check(frame(rows), terms, COMPANY, freeze_day)["exclusion_code"].tolist()


def code(**values: Any) -> str:
    (verdict,) = codes(row(**values))
    return verdict


def test_a_rating_with_nothing_wrong_counts() -> None:
    verdict = check(frame([row()]), TERMS, COMPANY, 8).iloc[0]
    assert (verdict["exclusion_code"], verdict["is_counted"], verdict["comment_level"]) == ("", True, "ok")
    assert (verdict["rater_department_id"], verdict["ratee_department_id"]) == (PRODUCTION, ACCOUNTS)


def test_no_ratings_are_checked_without_complaint() -> None:
    verdicts = check(frame([]), TERMS, COMPANY, 8)
    assert len(verdicts) == 0
    assert {"exclusion_code", "is_counted", "comment_level", "rater_department_id"} <= set(verdicts.columns)


SPOILED: dict[str, Record] = {
    "no_score": {"score": None, "score_problem": "no_score"},
    "score_range": {"score": None, "score_problem": "score_range"},
    "no_rater": {"rater_id": 0},
    "no_ratee": {"ratee_id": 0},
    "unknown_rater": {"rater_id": STRANGER},
    "unknown_ratee": {"ratee_id": STRANGER},
    "self_rating": {"rater_id": SETTER},
    "duplicate_rating": {},
    "wrong_direction": {"task_executor_id": SETTER, "task_setter_id": EXECUTOR},
    "out_of_window": {"is_period_invalid": True},
    "stage_not_counted": {"is_failure_stage": True},
    "deleted": {"is_deleted": True},
    "unexplained": {"score": 4, "comment": "—"},
}


def spoil(*names: str) -> Record:
    values: Record = {"process_key": "month"}
    for name in names:
        values |= SPOILED[name]
    return row(**values)


def verdict_of(names: tuple[str, ...]) -> str:
    rating = spoil(*names)
    others = [rating | {"rating_id": 1}] if "duplicate_rating" in names else []
    return codes(*others, rating)[-1]


@pytest.mark.parametrize("name", EXCLUSION_CODES)
def test_each_rule_excludes_by_itself(name: str) -> None:
    assert verdict_of((name,)) == name


PAIRS = [
    pair
    for pair in combinations(EXCLUSION_CODES, 2)
    if not SPOILED[pair[0]].keys() & SPOILED[pair[1]].keys() and set(pair) != {"duplicate_rating", "deleted"}
]


@pytest.mark.parametrize("pair", PAIRS, ids=" before ".join)
def test_of_two_broken_rules_the_earlier_one_is_named(pair: tuple[str, str]) -> None:
    assert verdict_of(pair) == pair[0]


def test_every_rule_is_part_of_an_order_test() -> None:
    assert {name for pair in PAIRS for name in pair} == set(EXCLUSION_CODES)


# --- duplicates ---------------------------------------------------------------------------------------------------


@st.composite
def crowded_ratings(draw: st.DrawFn) -> list[Record]:
    """Few people, tasks and months, so that repetitions are the rule."""
    ids = draw(st.lists(st.integers(1, 30), unique=True, max_size=12))
    return [
        row(
            rating_id=number,
            process_key=draw(st.sampled_from(("task", "month"))),
            rater_id=draw(st.sampled_from((0, EXECUTOR, 31))),
            ratee_id=draw(st.sampled_from((0, SETTER))),
            task_id=draw(st.sampled_from((0, 500, 501, 202604))),
            period=draw(st.sampled_from((date(2026, 3, 1), date(2026, 4, 1), date(2025, 4, 1)))),
            is_deleted=draw(st.booleans()),
        )
        for number in ids
    ]


def plain_duplicates(ratings: list[Record]) -> list[bool]:
    """The rule read one row at a time: the lowest id that is not deleted stands."""

    def occasion(rating: Record) -> Any:
        return rating["period"] if rating["process_key"] == "month" else rating["task_id"] or None

    return [
        not mine["is_deleted"]
        and occasion(mine) is not None
        and any(
            not other["is_deleted"]
            and other["rating_id"] < mine["rating_id"]
            and occasion(other) == occasion(mine)
            and all(other[key] == mine[key] for key in ("process_key", "rater_id", "ratee_id"))
            for other in ratings
        )
        for mine in ratings
    ]


@settings(max_examples=60, deadline=None)
@given(crowded_ratings())
def test_duplicates_are_what_reading_row_by_row_finds(ratings: list[Record]) -> None:
    assert find_duplicates(frame(ratings), TERMS).tolist() == plain_duplicates(ratings)


@settings(max_examples=15, deadline=None)
@given(crowded_ratings(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_verdict(ratings: list[Record], chance: Random) -> None:
    shuffled = chance.sample(ratings, len(ratings))
    one = check(frame(ratings), TERMS, COMPANY, 8).set_index("rating_id")
    other = check(frame(shuffled), TERMS, COMPANY, 8).set_index("rating_id").loc[one.index]
    pd.testing.assert_frame_equal(one, other)


@settings(max_examples=15, deadline=None)
@given(crowded_ratings())
def test_deleting_the_rating_that_stands_brings_the_next_one(ratings: list[Record]) -> None:
    flags = find_duplicates(frame(ratings), TERMS)
    for place, rating in enumerate(ratings):
        standing = not flags[place] and not rating["is_deleted"]
        after = [other | {"is_deleted": other["is_deleted"] or other is rating} for other in ratings]
        freed = flags & ~find_duplicates(frame(after), TERMS)
        freed[place] = False
        repeated = [
            other["rating_id"]
            for number, other in enumerate(ratings)
            if flags[number] and standing and same_occasion(rating, other)
        ]
        assert [ratings[number]["rating_id"] for number in np.flatnonzero(freed)] == sorted(repeated)[:1]


def same_occasion(one: Record, other: Record) -> bool:
    keys = ["process_key", "rater_id", "ratee_id", "period" if one["process_key"] == "month" else "task_id"]
    return all(one[key] == other[key] for key in keys)


def test_the_lowest_id_stands_even_if_it_does_not_count_itself() -> None:
    cancelled = row(rating_id=1, is_failure_stage=True)
    assert codes(row(rating_id=2), cancelled) == ["duplicate_rating", "stage_not_counted"]


def test_a_task_rated_again_in_another_month_is_a_duplicate() -> None:
    later = row(rating_id=2, period=date(2026, 6, 1), rated_on=date(2026, 6, 2))
    assert codes(row(rating_id=1), later) == ["", "duplicate_rating"]


def test_two_processes_never_make_a_duplicate() -> None:
    assert codes(row(rating_id=1), row(rating_id=2, process_key="directed")) == ["", ""]


# --- who and where ------------------------------------------------------------------------------------------------


def test_departments_that_nobody_knows_are_zero() -> None:
    rows = [row(rater_id=person) for person in (31, 40, 41, STRANGER, 0)]
    departments = check(frame(rows), TERMS, COMPANY, 8)["rater_department_id"].tolist()
    assert departments == [PRODUCTION_GROUP, 0, 0, 0, 0]


def test_the_department_tree_may_close_in_a_loop() -> None:
    looped = Organisation.build({}, {1: 2, 2: 3, 3: 1, 4: 4})
    assert looped.last_tree == {1: frozenset({1, 2, 3}), 2: frozenset({1, 2, 3}), 3: frozenset({1, 2, 3}), 4: {4}}


def test_a_company_without_people_knows_nobody() -> None:
    nobody = Organisation.build({}, {})
    assert check(frame([row()]), TERMS, nobody, 8)["exclusion_code"].tolist() == ["unknown_rater"]


# --- direction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"task_executor_id": SETTER, "task_setter_id": EXECUTOR}, "wrong_direction"),
        ({"task_executor_id": SETTER, "task_setter_id": 0}, "wrong_direction"),
        ({"task_executor_id": SETTER, "task_setter_id": SETTER}, ""),
        ({"task_executor_id": 31, "task_setter_id": 21}, ""),
        ({"task_executor_id": 0, "task_setter_id": 0}, ""),
    ],
    ids=["ratee executed", "ratee executed, setter hidden", "ratee did both", "others did it", "task hidden"],
)
def test_the_linked_task_tells_the_direction(values: Record, expected: str) -> None:
    assert code(**values) == expected


@pytest.mark.parametrize(
    ("rater", "ratee", "expected"),
    [
        (EXECUTOR, SETTER, ""),
        (31, 21, ""),
        (SETTER, EXECUTOR, "wrong_direction"),
        (21, 31, "wrong_direction"),
        (SETTER, 21, ""),
        (40, EXECUTOR, ""),
    ],
)
def test_swapped_departments_tell_the_direction_with_all_below_them(rater: int, ratee: int, expected: str) -> None:
    values = {"rater_id": rater, "ratee_id": ratee, "task_id": 0, "task_setter_id": 0, "task_executor_id": 0}
    assert code(process_key="directed", **values) == expected
    assert code(process_key="task", **values) == ""


def test_a_department_that_sets_and_executes_is_never_swapped() -> None:
    both = {
        "directed": ProcessTerms(
            is_monthly=False,
            comment_required_below=5,
            setter_departments=frozenset({ACCOUNTS, PRODUCTION}),
            executor_departments=frozenset({PRODUCTION, ACCOUNTS}),
        )
    }
    swapped = row(process_key="directed", rater_id=SETTER, ratee_id=EXECUTOR, task_setter_id=0, task_executor_id=0)
    assert codes(swapped, terms=both) == [""]


# --- window, stage, explanation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("period", "freeze_day", "expected"),
    [
        (date(2026, 1, 1), 8, date(2026, 2, 8)),
        (date(2026, 11, 1), 28, date(2026, 12, 28)),
        (date(2026, 12, 1), 1, date(2027, 1, 1)),
    ],
)
def test_a_month_freezes_on_that_day_of_the_next(period: date, freeze_day: int, expected: date) -> None:
    assert freeze_date(period, freeze_day) == expected


@pytest.mark.parametrize(
    ("process", "rated_on", "expected"),
    [
        ("month", date(2026, 5, 7), ""),
        ("month", date(2026, 5, 8), "out_of_window"),
        ("task", date(2026, 5, 8), ""),
    ],
)
def test_a_named_month_closes_at_its_freeze(process: str, rated_on: date, expected: str) -> None:
    assert code(process_key=process, rated_on=rated_on) == expected


def test_a_month_that_cannot_be_is_out_of_window_only_where_the_form_names_it() -> None:
    assert code(process_key="month", is_period_invalid=True) == "out_of_window"
    assert code(process_key="task", is_period_invalid=True) == ""


def test_counted_stages_replace_the_failure_stages() -> None:
    listed = {
        "task": ProcessTerms(is_monthly=False, comment_required_below=5, counted_stages=frozenset({"FAIL"})),
        "month": MONTH,
    }
    ratings = [
        row(rating_id=number, task_id=number, process_key=process, stage_id=stage, is_failure_stage=stage == "FAIL")
        for number, (process, stage) in enumerate([("task", "FAIL"), ("task", "SUCCESS"), ("month", "FAIL")], start=1)
    ]
    assert codes(*ratings, terms=listed) == ["", "stage_not_counted", "stage_not_counted"]


@pytest.mark.parametrize(
    ("below", "score", "comment", "expected"),
    [
        (5, 4, "", "unexplained"),
        (5, 4, "нет", "unexplained"),
        (5, 4, "нет макета", ""),
        (5, 4, "не очень", ""),
        (5, 5, "", ""),
        (3, 3, "", ""),
        (3, 2, "-", "unexplained"),
        (6, 5, "...", "unexplained"),
        (1, 1, "", ""),
    ],
)
def test_a_score_below_the_threshold_needs_a_reason(below: int, score: int, comment: str, expected: str) -> None:
    terms = {"task": ProcessTerms(is_monthly=False, comment_required_below=below)}
    assert codes(row(score=score, comment=comment), terms=terms) == [expected]


def test_a_rating_without_a_score_owes_no_explanation() -> None:
    assert code(score=None, score_problem="", comment="") == ""


# --- what a comment is worth ---------------------------------------------------------------------------------------


def judged_comments(*rows: Record, count_unexplained: bool = False) -> pd.DataFrame:
    return check(frame(rows), TERMS, COMPANY, 8, count_unexplained=count_unexplained)


def test_an_unexplained_score_counts_if_the_configuration_says_so_and_stays_a_violation() -> None:
    rows = [row(rating_id=1, score=4, comment="-"), row(rating_id=2, score=4, comment="-", task_id=1, is_deleted=True)]
    for switch, expected in ((False, ["unexplained", "deleted"]), (True, ["", "deleted"])):
        verdicts = judged_comments(*rows, count_unexplained=switch)
        assert verdicts["exclusion_code"].tolist() == expected
        assert verdicts["is_counted"].tolist() == [code == "" for code in expected]
        assert verdicts["comment_level"].tolist() == ["violation", "violation"]


def test_the_title_of_the_linked_task_explains_nothing() -> None:
    title = "Баннер для главной страницы"
    copied, other, praised = (
        row(rating_id=1, task_id=1, score=4, comment=title, task_title=title),
        row(rating_id=2, task_id=2, score=4, comment="нет макета баннера", task_title=title),
        row(rating_id=3, task_id=3, score=5, comment=title, task_title=title),
    )
    verdicts = judged_comments(copied, other, praised)
    assert verdicts["exclusion_code"].tolist() == ["unexplained", "", ""]
    assert verdicts["comment_rules"].tolist()[0] == "title_copy"


PASTED = "Не хватило описания, пришлось уточнять"


def pasted(**values: Any) -> list[Record]:
    """One text for two colleagues, three times in three months; the last of them changed by `values`."""
    rows = [
        row(rating_id=1, task_id=1, score=4, comment=PASTED, period=date(2026, 2, 1), rated_on=date(2026, 2, 20)),
        row(rating_id=2, task_id=2, score=4, comment=PASTED, ratee_id=21, task_setter_id=21),
        row(rating_id=3, task_id=3, score=3, comment=PASTED, period=date(2026, 5, 1), rated_on=date(2026, 5, 3)),
    ]
    return [*rows[:2], rows[2] | values]


def test_a_text_pasted_for_everybody_is_weak_in_all_its_months_and_still_counts() -> None:
    verdicts = judged_comments(*pasted())
    assert verdicts["comment_level"].tolist() == ["weak"] * 3
    assert verdicts["comment_rules"].tolist() == ["copy_paste"] * 3
    assert verdicts["is_counted"].all()


@pytest.mark.parametrize("values", [{"is_deleted": True}, {"rater_id": 31}, {"score": 5}, {"comment": "Нет макета"}])
def test_what_is_no_third_copy_makes_no_copy(values: Record) -> None:
    verdicts = judged_comments(*pasted(**values))
    assert not verdicts["comment_rules"].str.contains("copy_paste").any()


def test_what_says_nothing_is_no_copy_however_often_it_stands() -> None:
    verdicts = judged_comments(*(one | {"comment": "нет"} for one in pasted()))
    assert verdicts["comment_rules"].tolist() == ["placeholder"] * 3
    assert verdicts["comment_level"].tolist() == ["violation"] * 3


def test_a_weak_text_that_is_pasted_keeps_its_own_rule_first() -> None:
    verdicts = judged_comments(*(one | {"comment": "Могло быть лучше"} for one in pasted()))
    first, *_ = verdicts["comment_rules"]
    assert first.split(",")[-1] == "copy_paste"
    assert first.split(",")[0] != "copy_paste"


def test_copies_among_hidden_ratings_do_not_show_in_the_visible_ones() -> None:
    verdicts = judged_comments(*pasted())
    pd.testing.assert_frame_equal(copies_among(verdicts), verdicts)
    for hidden in range(3):
        seen = copies_among(verdicts.drop(index=hidden))
        assert seen["comment_rules"].tolist() == ["", ""]
        assert seen["comment_level"].tolist() == ["ok", "ok"]


def test_a_visible_comment_that_is_weak_by_itself_stays_weak_without_its_hidden_copies() -> None:
    verdicts = judged_comments(*(one | {"comment": "Могло быть лучше"} for one in pasted()))
    seen = copies_among(verdicts.iloc[:2])
    assert seen["comment_level"].tolist() == ["weak", "weak"]
    assert seen["comment_rules"].tolist() == [
        codes.removesuffix(",copy_paste") for codes in verdicts["comment_rules"][:2]
    ]


def test_no_ratings_hide_no_copies() -> None:
    assert copies_among(judged_comments()).empty


def test_every_lowered_score_has_a_reason_and_the_form_wins() -> None:
    rows = [
        row(rating_id=1, task_id=1, score=4, comment="Нет макета"),
        row(rating_id=2, task_id=2, score=4, comment="Нет макета", reason=reasons.REASONS["deadline"]),
        row(rating_id=3, task_id=3, score=4, comment="-"),
        row(rating_id=4, task_id=4, score=5, comment="Нет макета"),
    ]
    verdicts = judged_comments(*rows)
    assert verdicts["reason_codes"].tolist() == ["materials", "deadline", "untagged", ""]
    assert verdicts["reason_source"].tolist() == ["auto", "form", "auto", ""]
    assert set(verdicts["ruleset_version"]) == {comments.RULESET_VERSION}


# --- against the oracle -------------------------------------------------------------------------------------------


def raw_ratings(state: PortalState) -> pd.DataFrame:
    """The vault dataset `raw` of everything the portal holds, deleted elements as last seen."""
    tables = []
    for process in processes(state):
        portal = state.processes[process.entity_type_id]
        definitions = {
            name: parse_records(FieldDefinition, [portal.fields[name]], "crm.item.fields")[0]
            for name in process.fields.names().values()
        }
        failures = {
            status.status_id.rpartition(":")[2]
            for status in parse_records(Status, portal.statuses, "crm.status.list")
            if status.semantics == "F"
        }
        for items, is_deleted in ((portal.items, False), (portal.deleted, True)):
            table = ratings_table(
                process, list(items.values()), definitions, failures, ZoneInfo(state.config["portal"]["timezone"])
            )
            at = table.schema.get_field_index("is_deleted")
            flags = pa.array([is_deleted] * len(table), pa.bool_())
            tables.append(table.set_column(at, RATING_COLUMNS.field("is_deleted"), flags))
    rows: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    tasks = parse_records(Task, list(state.tasks.values()), "tasks.task.list")
    for column, values in (
        ("task_setter_id", {task.id: task.setter_id for task in tasks}),
        ("task_executor_id", {task.id: task.executor_id for task in tasks}),
    ):
        rows[column] = rows["task_id"].map(values).fillna(0).astype("int64")
    rows["task_title"] = rows["task_id"].map({task.id: task.title for task in tasks}).fillna("")
    return rows


def processes(state: PortalState) -> list[Process]:
    return [Process.model_validate(process) for process in state.config["processes"]]


def judged(state: PortalState) -> pd.DataFrame:
    users = parse_records(User, list(state.users.values()), "user.get")
    departments = parse_records(Department, list(state.departments.values()), "department.get")
    freeze_day = state.config["release"]["freeze_day"]
    terms = Terms(tuple(processes(state)), PolicyBook(()), "default", PROFILES["default"], freeze_day)
    organisation = Organisation.build(
        {user.id: user.departments[0] if user.departments else 0 for user in users},
        {department.id: department.parent_id for department in departments},
    )
    return check(raw_ratings(state), terms.by_process(), organisation, freeze_day)


TRUTH_COLUMNS = (
    "process_key",
    "rating_id",
    "period",
    "rated_on",
    "rater_id",
    "ratee_id",
    "rater_department_id",
    "ratee_department_id",
    "task_id",
    "score",
    "comment",
    "exclusion_code",
    "is_deleted",
)


def assert_judged_as_the_oracle_does(state: PortalState) -> list[str]:
    """Compares row by row.

    Returns:
        The exclusion codes met.
    """
    verdicts = judged(state)
    columns = [verdicts[name].astype(object).where(verdicts[name].notna(), None).tolist() for name in TRUTH_COLUMNS]
    mine = {(values[0], values[1]): values for values in zip(*columns, strict=True)}
    truth = rating_truth(state)
    assert len(mine) == len(verdicts) == len(truth)
    for expected in truth:
        values = tuple(getattr(expected, name) for name in TRUTH_COLUMNS)
        assert mine[values[0], values[1]] == values
    assert verdicts["is_counted"].tolist() == [code == "" for code in verdicts["exclusion_code"]]
    return [expected.exclusion_code for expected in truth]


CLOCKS = ("2026-11-20T12:00:00+03:00", "2026-03-08T00:00:00+03:00", "2026-01-03T10:00:00+03:00")


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_small_company_is_judged_as_the_oracle_does(seed: int, clock: str) -> None:
    assert_judged_as_the_oracle_does(generate(seed, "tiny", datetime.fromisoformat(clock)))


@pytest.mark.parametrize(
    ("seed", "clock", "long_ids"), [(1, CLOCKS[0], False), pytest.param(2, CLOCKS[1], True, marks=pytest.mark.slow)]
)
def test_the_demo_company_is_judged_as_the_oracle_does(seed: int, clock: str, long_ids: bool) -> None:
    met = assert_judged_as_the_oracle_does(generate(seed, "demo", datetime.fromisoformat(clock), long_ids=long_ids))
    assert set(EXCLUSION_CODES) - set(met) <= {"unknown_ratee", "deleted"}


ODD_DAYS = ("2019-12-31", "2030-01-01", *(f"2026-{month:02d}-{2 * month:02d}" for month in range(1, 12)))
SPOILERS: dict[str, Callable[[Random, PortalState, Process], Any]] = {
    "score": lambda chance, state, process: chance.choice((None, "", " ", 0, 1, 4, 5, 6, 7, "3", "4,5", "10", "два")),
    "comment": lambda chance, state, process: chance.choice((None, "", "—", "ок", "нет", "1.2", "\u200b\u200b\u200b")),
    "rater": lambda chance, state, process: chance.choice((0, None, *state.users, 99_999)),
    "ratee": lambda chance, state, process: chance.choice((0, None, *state.users, 99_999)),
    "task": lambda chance, state, process: chance.choice((0, None, *list(state.tasks)[:20], 99_999)),
    "period": lambda chance, state, process: chance.choice([None, "", *(f"{day}T03:00:00+03:00" for day in ODD_DAYS)]),
}


def spoil_portal(state: PortalState, chance: Random) -> None:
    """Makes every fourth element odd in some way: values, stages, directions, copies, deletions."""
    for process in processes(state):
        portal = state.processes[process.entity_type_id]
        names = process.fields.names()
        for number in list(portal.items):
            item = portal.items[number]
            if chance.random() < 0.25:
                role = chance.choice([role for role in names if role in SPOILERS])
                item[names[role]] = SPOILERS[role](chance, state, process)
            if chance.random() < 0.1:
                item[names["rater"]], item[names["ratee"]] = item[names["ratee"]], item[names["rater"]]
            if chance.random() < 0.1:
                item["stageId"] = chance.choice(portal.statuses)["STATUS_ID"]
            if chance.random() < 0.1:
                portal.items[portal.next_id] = item | {"id": portal.next_id}
            if chance.random() < 0.1:
                portal.deleted[number] = portal.items.pop(number)


@pytest.mark.parametrize("seed", range(1, 13))
def test_a_company_full_of_odd_ratings_is_judged_as_the_oracle_does(seed: int) -> None:
    state = generate(seed, "tiny", datetime.fromisoformat(CLOCKS[0]))
    chance = Random(seed)
    spoil_portal(state, chance)
    state.config["release"]["freeze_day"] = chance.choice((1, 8, 28))
    for process in state.config["processes"]:
        process["comment_required_below"] = chance.choice((3, 5, 6))
        process["counted_stages"] = chance.choice((None, ["SUCCESS"], ["NEW", "CLIENT"]))
    assert_judged_as_the_oracle_does(state)


def test_odd_companies_show_every_exclusion_code() -> None:
    met: set[str] = set()
    for seed in range(1, 5):
        state = generate(seed, "tiny", datetime.fromisoformat(CLOCKS[0]))
        spoil_portal(state, Random(seed))
        met |= {truth.exclusion_code for truth in rating_truth(state)}
    assert met == {"", *EXCLUSION_CODES}


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_shuffling_a_whole_company_changes_no_verdict(chance: Random) -> None:
    state = generate(3, "tiny", datetime.fromisoformat(CLOCKS[0]))
    straight = judged(state).set_index(["process_key", "rating_id"])
    for process in state.processes.values():
        items = list(process.items.items())
        chance.shuffle(items)
        process.items = dict(items)
    shuffled = judged(state).set_index(["process_key", "rating_id"]).loc[straight.index]
    pd.testing.assert_frame_equal(straight, shuffled)
