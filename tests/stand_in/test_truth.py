"""The oracle, judged by cases small enough to be decided by reading them."""

from datetime import date, datetime
from typing import Any

import pytest

from sources.stand_in.state import MOSCOW, PortalState, Record, SmartProcess
from sources.stand_in.truth import TruthRow, rating_truth

OPTIONS = [
    {"ID": "71", "VALUE": "5 — отлично"},
    {"ID": "72", "VALUE": " Так себе "},
    {"ID": "73", "VALUE": "без числа"},
    {"ID": "74", "VALUE": "4 из 5"},
]
SETTER, EXECUTOR, STRANGER = 20, 30, 999


def portal(*items: Record, kind: str = "integer", cadence: str = "task", **process: Any) -> PortalState:
    """A portal with one process: accounts (2, group 3 below) set tasks to production (4, group 5 below)."""
    definition: Record = {"type": kind}
    if kind == "enumeration":
        definition["items"] = OPTIONS
    fields = {"score": "ufScore", "comment": "ufComment", "rater": "ufRater", "ratee": "ufRatee"}
    fields |= {"task": "ufTask"} if cadence == "task" else {"period": "ufPeriod"}
    parents = {1: None, 2: "1", 3: "2", 4: "1", 5: "4"}
    users: dict[int, list[int]] = {SETTER: [2], 21: [3], EXECUTOR: [4], 31: [5, 2], 40: []}
    statuses = [
        {"STATUS_ID": f"DT130_1:{code}", "SEMANTICS": semantics}
        for code, semantics in (("NEW", None), ("SUCCESS", "S"), ("FAIL", "F"))
    ]
    return PortalState(
        now=datetime(2026, 6, 1, tzinfo=MOSCOW),
        timezone=MOSCOW,
        users={n: {"ID": str(n), "UF_DEPARTMENT": departments} for n, departments in users.items()},
        departments={n: {"ID": str(n)} | ({"PARENT": parent} if parent else {}) for n, parent in parents.items()},
        tasks={500: {"id": "500", "createdBy": str(SETTER), "responsibleId": str(EXECUTOR)}},
        processes={
            130: SmartProcess(130, 7, "", {"ufScore": definition}, [], statuses, {item["id"]: item for item in items})
        },
        config={
            "processes": [{"key": "work", "entity_type_id": 130, "cadence": cadence, "fields": fields, **process}],
            "release": {"freeze_day": 8},
        },
    )


def item(number: int = 1, **values: Any) -> Record:
    """A rating with nothing wrong: the executor gives the setter a five."""
    record = {
        "id": number,
        "createdTime": "2026-04-15T12:00:00+03:00",
        "stageId": "DT130_1:SUCCESS",
        "ufScore": 5,
        "ufComment": None,
        "ufRater": EXECUTOR,
        "ufRatee": SETTER,
        "ufTask": 500,
        "ufPeriod": "2026-04-01T03:00:00+03:00",
    }
    return record | values


def judge(values: Record, **process: Any) -> TruthRow:
    """The verdict on a single rating."""
    (row,) = rating_truth(portal(item(**values), **process))
    return row


def test_a_rating_with_nothing_wrong() -> None:
    assert judge({}) == TruthRow(
        "work", 1, date(2026, 4, 1), date(2026, 4, 15), EXECUTOR, SETTER, 4, 2, 500, 5, "", "", is_deleted=False
    )


@pytest.mark.parametrize(
    ("kind", "value", "score", "code"),
    [
        ("integer", 1, 1, ""),
        ("integer", None, None, "no_score"),
        ("integer", "", None, "no_score"),
        ("integer", 0, None, "score_range"),
        ("integer", 7, None, "score_range"),
        ("integer", 4.5, None, "score_range"),
        ("integer", "abc", None, "score_range"),
        ("enumeration", 71, 5, ""),
        ("enumeration", "71", 5, ""),
        ("enumeration", 72, 3, ""),
        ("enumeration", 73, None, "score_range"),
        ("enumeration", 74, None, "score_range"),
        ("enumeration", 79, None, "score_range"),
        ("enumeration", 0, None, "no_score"),
        ("enumeration", None, None, "no_score"),
        ("string", "4", 4, ""),
        ("string", "Оценка: 3", 3, ""),
        ("string", " Так себе ", 3, ""),
        ("string", "  ", None, "no_score"),
        ("string", "4,5", None, "score_range"),
        ("string", "4/5", None, "score_range"),
        ("string", "10", None, "score_range"),
        ("string", "0", None, "score_range"),
        ("string", "отлично", None, "score_range"),
    ],
)
def test_scores(kind: str, value: Any, score: int | None, code: str) -> None:
    row = judge({"ufScore": value, "ufComment": "нет макета"}, kind=kind, score_values={"Так себе": 3}, cadence="task")
    assert (row.score, row.exclusion_code) == (score, code)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ufRater": 0}, "no_rater"),
        ({"ufRater": None}, "no_rater"),
        ({"ufRatee": None}, "no_ratee"),
        ({"ufRater": STRANGER}, "unknown_rater"),
        ({"ufRatee": STRANGER}, "unknown_ratee"),
        ({"ufRater": SETTER}, "self_rating"),
        ({"ufRater": SETTER, "ufRatee": EXECUTOR}, "wrong_direction"),
        ({"ufRater": SETTER, "ufRatee": 31}, ""),
        ({"stageId": "DT130_1:FAIL"}, "stage_not_counted"),
        ({"stageId": "DT130_1:NEW"}, ""),
        ({"ufScore": None, "ufRater": 0}, "no_score"),
        ({"ufRater": 0, "ufRatee": 0}, "no_rater"),
        ({"ufRater": STRANGER, "ufRatee": STRANGER}, "unknown_rater"),
    ],
)
def test_the_first_rule_that_is_broken_counts(values: Record, code: str) -> None:
    assert judge(values).exclusion_code == code


@pytest.mark.parametrize(
    ("rater", "ratee", "code"),
    [
        (SETTER, 31, "wrong_direction"),
        (21, 31, "wrong_direction"),
        (31, 21, ""),
        (SETTER, 21, ""),
        (40, 31, ""),
    ],
)
def test_departments_tell_the_direction_with_everything_below_them(rater: int, ratee: int, code: str) -> None:
    values = {"ufRater": rater, "ufRatee": ratee, "ufTask": None}
    row = judge(values, setter_departments=[2], executor_departments=[4])
    assert row.exclusion_code == code
    assert judge(values, setter_departments=[2]).exclusion_code == ""


def test_departments_that_overlap_do_not_make_a_direction_wrong() -> None:
    values = {"ufRater": SETTER, "ufRatee": EXECUTOR, "ufTask": None}
    assert judge(values, setter_departments=[1], executor_departments=[1]).exclusion_code == ""


def test_a_task_set_to_oneself_has_no_direction() -> None:
    state = portal(item())
    state.tasks[500]["responsibleId"] = str(SETTER)
    assert rating_truth(state)[0].exclusion_code == ""


def test_who_is_in_two_departments_belongs_to_the_first_and_without_any_to_zero() -> None:
    row = judge({"ufRater": 31, "ufRatee": 40})
    assert (row.rater_department_id, row.ratee_department_id) == (5, 0)


@pytest.mark.parametrize(
    ("score", "comment", "below", "code"),
    [
        (4, None, 5, "unexplained"),
        (4, "-", 5, "unexplained"),
        (4, "4/5 ок", 5, "unexplained"),
        (4, "\u200b\u200b\u200b", 5, "unexplained"),
        (4, "нет", 5, ""),
        (5, "", 5, ""),
        (4, "", 4, ""),
        (3, "", 4, "unexplained"),
    ],
)
def test_low_scores_need_three_letters(score: int, comment: str | None, below: int, code: str) -> None:
    row = judge({"ufScore": score, "ufComment": comment}, comment_required_below=below)
    assert row.exclusion_code == code
    assert row.comment == (comment or "")


def test_counted_stages_replace_the_default() -> None:
    assert judge({"stageId": "DT130_1:NEW"}, counted_stages=["SUCCESS"]).exclusion_code == "stage_not_counted"
    assert judge({"stageId": "DT130_1:FAIL"}, counted_stages=["FAIL"]).exclusion_code == ""


@pytest.mark.parametrize(
    ("period", "created", "month", "code"),
    [
        ("2026-04-01T03:00:00+03:00", "2026-05-07T23:59:59+03:00", date(2026, 4, 1), ""),
        ("2026-04-01T03:00:00+03:00", "2026-05-08T00:00:00+03:00", date(2026, 4, 1), "out_of_window"),
        ("2026-04-01T03:00:00+03:00", "2026-05-07T21:00:00+00:00", date(2026, 4, 1), "out_of_window"),
        ("2026-04-30T23:00:00-05:00", "2026-04-30T12:00:00+03:00", date(2026, 4, 1), ""),
        ("2025-12-01T03:00:00+03:00", "2026-01-07T12:00:00+03:00", date(2025, 12, 1), ""),
        ("2025-12-01T03:00:00+03:00", "2026-01-08T12:00:00+03:00", date(2025, 12, 1), "out_of_window"),
        ("2026-05-01T03:00:00+03:00", "2026-04-30T12:00:00+03:00", date(2026, 4, 1), "out_of_window"),
        ("2019-12-01T03:00:00+03:00", "2026-04-30T12:00:00+03:00", date(2026, 4, 1), "out_of_window"),
        (None, "2026-04-30T12:00:00+03:00", date(2026, 4, 1), ""),
        ("", "2026-04-30T23:30:00+00:00", date(2026, 5, 1), ""),
    ],
)
def test_windows_of_monthly_ratings(period: str | None, created: str, month: date, code: str) -> None:
    row = judge({"ufPeriod": period, "createdTime": created}, cadence="month")
    assert (row.period, row.exclusion_code, row.task_id) == (month, code, 0)


def test_the_period_of_a_task_rating_is_its_month_in_portal_time() -> None:
    row = judge({"createdTime": "2026-04-30T21:30:00+00:00"})
    assert (row.period, row.rated_on) == (date(2026, 5, 1), date(2026, 5, 1))


def codes(state: PortalState) -> dict[int, str]:
    """Verdict by rating."""
    return {row.rating_id: row.exclusion_code for row in rating_truth(state)}


def test_of_duplicates_the_lowest_id_stands_over_all_periods() -> None:
    later = "2026-05-20T12:00:00+03:00"
    state = portal(item(7), item(3, ufScore=None), item(9, createdTime=later), item(10, ufTask=None))
    state.processes[130].items[11] = item(11, ufTask=None)
    assert codes(state) == {3: "no_score", 7: "duplicate_rating", 9: "duplicate_rating", 10: "", 11: ""}


def test_when_the_standing_duplicate_is_deleted_the_next_one_takes_its_place() -> None:
    state = portal(item(4), item(5))
    state.processes[130].deleted[3] = item(3)
    assert codes(state) == {3: "deleted", 4: "", 5: "duplicate_rating"}
    assert [row.is_deleted for row in rating_truth(state)] == [True, False, False]


def test_monthly_duplicates_share_the_month_that_is_rated() -> None:
    may = {"ufPeriod": "2026-05-01T03:00:00+03:00", "createdTime": "2026-05-03T12:00:00+03:00"}
    april = {"createdTime": "2026-05-03T12:00:00+03:00"}
    state = portal(item(1), item(2, **april), item(3, **may), cadence="month")
    assert codes(state) == {1: "", 2: "duplicate_rating", 3: ""}


def test_what_is_wrong_with_a_deleted_rating_comes_before_its_deletion() -> None:
    state = portal()
    state.processes[130].deleted = {1: item(1, ufScore=9), 2: item(2, ufScore=2, ufComment="-")}
    assert codes(state) == {1: "score_range", 2: "deleted"}


def test_another_configuration_may_be_given() -> None:
    state = portal(item(ufScore=4))
    config = {**state.config, "processes": [{**state.config["processes"][0], "comment_required_below": 0}]}
    assert rating_truth(state)[0].exclusion_code == "unexplained"
    assert rating_truth(state, config)[0].exclusion_code == ""
