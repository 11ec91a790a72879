"""The oracle, judged by cases small enough to be decided by reading them."""

from datetime import date, datetime
from typing import Any

import pytest

from sources.stand_in.state import MOSCOW, PortalState, Record, SmartProcess
from sources.stand_in.truth import ObligationRow, TruthRow, obligation_truth, rating_truth, sight

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
        "work",
        1,
        date(2026, 4, 1),
        date(2026, 4, 15),
        EXECUTOR,
        SETTER,
        4,
        2,
        500,
        5,
        "",
        "",
        is_deleted=False,
        comment_level="ok",
        comment_rule="",
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
        (4, "нет", 5, "unexplained"),
        (4, "нет макета", 5, ""),
        (4, "Плохо", 5, ""),
        (5, "", 5, ""),
        (4, "", 4, ""),
        (3, "", 4, "unexplained"),
    ],
)
def test_low_scores_need_an_explanation(score: int, comment: str | None, below: int, code: str) -> None:
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


# --- comments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level", "rule"),
    [
        (None, "violation", "empty"),
        (" \u200b", "violation", "empty"),
        ("?!", "violation", "no_letters"),
        ("эх", "violation", "too_short"),
        ("нет", "violation", "placeholder"),
        ("йцукен", "violation", "mash"),
        ("Макет листовки", "violation", "title_copy"),
        ("Спасибо, всё отлично", "weak", "contradiction"),
        ("Плохо", "weak", "no_reason"),
        ("ТЗ", "weak", "topic_only"),
        ("нет макета", "ok", ""),
    ],
)
def test_what_the_explanation_of_a_low_score_is_worth(text: str | None, level: str, rule: str) -> None:
    state = portal(item(ufScore=4, ufComment=text))
    state.tasks[500]["title"] = "Макет листовки"
    (row,) = rating_truth(state)
    assert (row.comment_level, row.comment_rule) == (level, rule)
    (five,) = rating_truth(portal(item(ufScore=5, ufComment=text)))
    assert (five.comment_level, five.comment_rule) == ("ok", "")


@pytest.mark.parametrize(
    ("days", "ratees", "is_pasted"),
    [
        (("04-01", "04-20", "06-29"), (20, 21, 20), True),
        (("04-01", "04-20", "06-30"), (20, 21, 20), False),
        (("04-01", "04-02", "04-03"), (20, 20, 20), False),
        (("04-01", "04-02"), (20, 21), False),
    ],
)
def test_the_same_reason_for_everybody_is_weak(days: tuple[str, ...], ratees: tuple[int, ...], is_pasted: bool) -> None:
    items = [
        item(
            number,
            ufScore=4,
            ufComment="нет макета",
            ufRatee=ratee,
            ufTask=None,
            createdTime=f"2026-{day}T12:00:00+03:00",
        )
        for number, (day, ratee) in enumerate(zip(days, ratees, strict=True), start=1)
    ]
    rows = rating_truth(portal(*items))
    assert {row.comment_rule for row in rows} == {"copy_paste" if is_pasted else ""}
    assert {row.exclusion_code for row in rows} == {""}


# --- obligations --------------------------------------------------------------------------------------------------


def task(number: int = 500, **values: Any) -> Record:
    return {
        "id": str(number),
        "title": "Макет",
        "status": "5",
        "groupId": "11",
        "createdBy": str(SETTER),
        "responsibleId": str(EXECUTOR),
        "accomplices": [],
        "closedDate": "2026-04-15T12:00:00+03:00",
    } | values


def expected(*tasks: Record, ratings: tuple[Record, ...] = (), **process: Any) -> list[ObligationRow]:
    state = portal(*ratings, **({"tasks": {"group_id": 11}} | process))
    state.tasks = {int(row["id"]): row for row in tasks}
    return obligation_truth(state, since=date(2026, 1, 1))


def test_an_obligation_nobody_has_met() -> None:
    assert expected(task()) == [
        ObligationRow(
            "work", date(2026, 4, 1), EXECUTOR, SETTER, 4, 2, 500, 1, date(2026, 4, 15), date(2026, 5, 8),
            "missed", "", 0, None,
        )
    ]  # fmt: skip


def test_an_obligation_that_a_rating_meets() -> None:
    (row,) = expected(task(), ratings=(item(7, createdTime="2026-05-20T12:00:00+03:00"), item(9)))
    assert (row.status, row.waiver, row.rating_id, row.rated_on) == ("fulfilled", "", 7, date(2026, 5, 20))


@pytest.mark.parametrize(
    "values",
    [{"ufScore": None}, {"ufScore": 9}, {"stageId": "DT130_1:FAIL"}, {"ufTask": 501}, {"ufRater": 31}, {"ufRatee": 21}],
)
def test_ratings_that_meet_no_obligation(values: Record) -> None:
    (row,) = expected(task(), ratings=(item(**values),))
    assert (row.status, row.rating_id) == ("missed", 0)


@pytest.mark.parametrize(
    "values",
    [
        {"responsibleId": str(SETTER)},
        {"createdBy": str(STRANGER)},
        {"responsibleId": str(STRANGER)},
        {"groupId": "12"},
        {"status": "4"},
        {"closedDate": None},
        {"closedDate": "2025-12-31T12:00:00+03:00"},
    ],
)
def test_tasks_that_ask_for_no_rating(values: Record) -> None:
    assert expected(task(**values)) == []


def test_no_rating_is_expected_between_swapped_departments() -> None:
    sides: dict[str, Any] = {"setter_departments": [2], "executor_departments": [4]}
    swapped = task(createdBy=str(EXECUTOR), responsibleId=str(SETTER))
    assert expected(swapped, **sides) == []
    assert len(expected(task(), **sides)) == len(expected(swapped)) == 1


def test_each_executor_is_expected_to_rate_once() -> None:
    rows = expected(task(accomplices=["31", str(EXECUTOR)]), ratings=(item(3, ufRater=31),))
    assert [(row.rater_id, row.status) for row in rows] == [(EXECUTOR, "missed"), (31, "fulfilled")]


def test_a_month_with_too_few_tasks_is_waived_and_a_rating_is_welcome() -> None:
    month: dict[str, Any] = {"cadence": "month", "tasks": {"group_id": 11, "min_tasks": 2}}
    (row,) = expected(task(), **month)
    assert (row.task_id, row.tasks, row.status, row.waiver) == (0, 1, "waived", "below_minimum")
    (row,) = expected(task(), task(501, closedDate="2026-04-30T12:00:00+03:00"), **month)
    assert (row.tasks, row.expected_on, row.status) == (2, date(2026, 4, 30), "missed")
    (row,) = expected(task(), ratings=(item(4),), **month)
    assert (row.status, row.rating_id) == ("fulfilled", 4)


def test_who_has_left_need_not_rate_and_deleted_tasks_come_first() -> None:
    state = portal(tasks={"group_id": 11})
    state.tasks = {500: task()}
    state.users[EXECUTOR]["ACTIVE"] = False
    (row,) = obligation_truth(state, since=date(2026, 1, 1))
    assert (row.status, row.waiver) == ("waived", "left")
    state.deleted_tasks, state.tasks = state.tasks, {}
    (row,) = obligation_truth(state, since=date(2026, 1, 1))
    assert (row.status, row.waiver, row.tasks) == ("waived", "task_deleted", 0)


@pytest.mark.parametrize(
    ("sign", "waiver"),
    [("2026-05-07T12:00:00+03:00", "left"), ("2026-05-08T12:00:00+03:00", ""), ("2026-05-07T22:00:00+00:00", "")],
)
@pytest.mark.parametrize("what", ["a rating", "a deleted rating", "a task", "a deleted task"])
def test_who_was_dismissed_before_any_run_had_left_after_the_last_sign_of_life(
    what: str, sign: str, waiver: str
) -> None:
    state = portal(tasks={"group_id": 11})
    state.tasks = {500: task()}
    last = task(501, createdBy=str(EXECUTOR), closedDate=sign)
    given = item(createdTime=sign, ufTask=999, updatedTime=sign)
    if what == "a task":
        state.tasks[501] = last
    elif what == "a deleted task":
        state.deleted_tasks[501] = last
    elif what == "a rating":
        state.processes[130].items[1] = given
    else:
        state.processes[130].deleted[1] = given
    state.users[EXECUTOR]["ACTIVE"] = False
    (row,) = obligation_truth(state, since=date(2026, 1, 1))
    assert (row.due_on, row.waiver) == (date(2026, 5, 8), waiver)
    if "deleted" not in what:
        assert obligation_truth(state, sightings=[sight(state, state.now)], since=date(2026, 1, 1)) == [row]


def test_who_was_seen_leaving_has_left_on_that_day_whatever_comes_later() -> None:
    state = portal(item(createdTime="2026-05-20T12:00:00+03:00", ufTask=999), tasks={"group_id": 11})
    state.tasks = {500: task()}
    seen = [sight(state, datetime(2026, 5, 1, tzinfo=MOSCOW))]
    state.users[EXECUTOR]["ACTIVE"] = False
    seen.append(sight(state, datetime(2026, 5, 8, tzinfo=MOSCOW)))
    (row,) = obligation_truth(state, sightings=seen, since=date(2026, 1, 1))
    assert row.waiver == "left"
    (row,) = obligation_truth(state, sightings=seen[1:], since=date(2026, 1, 1))
    assert row.waiver == ""


def test_only_a_task_that_a_run_has_seen_closed_counts_as_deleted() -> None:
    state = portal(tasks={"group_id": 11})
    state.tasks = {500: task(), 501: task(501, status="3", closedDate=None)}
    seen = [sight(state, datetime(2026, 4, 20, tzinfo=MOSCOW))]
    state.tasks = {}
    seen.append(sight(state, datetime(2026, 4, 21, tzinfo=MOSCOW)))
    rows = obligation_truth(state, sightings=seen, since=date(2026, 1, 1))
    assert [(row.task_id, row.waiver) for row in rows] == [(500, "task_deleted")]
    assert obligation_truth(state, sightings=seen[1:], since=date(2026, 1, 1)) == []


def test_a_process_without_tasks_expects_nothing() -> None:
    state = portal(item())
    state.tasks = {500: task()}
    assert obligation_truth(state) == []
