"""Facts and marts of a handful of ratings, small enough to be reckoned by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from assets.checks import SUITES, Rule, Suite, frames_for_suites, run_suite
from assets.release import RELEASED_COLUMNS, RELEASED_OBLIGATION_COLUMNS
from assets.rules import comments
from assets.scores import FIGURES
from assets.star import _fill_reasons, _fill_rules
from warehouse_sql.warehouse import PUBLISHED, PublishedTable, Session, Warehouse, table, transform

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition

SETTER, RATER, COLLEAGUE = 10, 20, 21
ACCOUNTS, PRODUCTION = 1, 2
OCTOBER = date(2026, 10, 1)
TODAY = date(2026, 11, 20)
FOREVER = {"valid_from": date(1970, 1, 1), "valid_to": date(2100, 1, 1), "is_current": True, "is_inferred": True}

DEPARTMENTS = [
    {"department_id": number, "name": name, "parent_id": 0, "level": 1, "head_employee_id": 0} | FOREVER
    for number, name in ((ACCOUNTS, "Аккаунтинг"), (PRODUCTION, "Производство"))
]
EMPLOYEES = [
    {"employee_id": number, "full_name": name, "position": "", "department_id": department, "is_active": True} | FOREVER
    for number, name, department in (
        (SETTER, "Зуева Анна", ACCOUNTS),
        (RATER, "Орлов Пётр", PRODUCTION),
        (COLLEAGUE, "Ким Олег", PRODUCTION),
    )
]


def rating(
    number: int, score: int, level: str = "ok", rules: str = "", tags: str = "", **values: Any
) -> dict[str, Any]:
    return {
        "process_key": "production",
        "rating_id": number,
        "period": OCTOBER,
        "rated_on": date(2026, 10, 20),
        "ratee_id": SETTER,
        "ratee_department_id": ACCOUNTS,
        "rater_id": RATER,
        "rater_department_id": PRODUCTION,
        "task_id": number,
        "score": score,
        "comment": f"comment {number}",
        "comment_level": level,
        "comment_rules": rules,
        "ruleset_version": "7",
        "reason_codes": tags,
        "reason_source": "auto" if tags else "",
        "exclusion_code": "unexplained" if level == "violation" else "",
        "mode": "open",
        "policy_version": "default",
    } | values


RATINGS = [
    rating(1, 5),
    rating(2, 4, tags="brief,materials"),
    rating(3, 2, "violation", "no_letters", "untagged", rater_id=COLLEAGUE),
    rating(4, 3, "weak", "no_reason,profanity", "deadline", rater_id=COLLEAGUE, reason_source="form"),
    rating(5, 1, "violation", "no_letters", "untagged", exclusion_code="deleted"),
    rating(6, 1, "violation", "no_letters", "untagged", mode="named_to_hr"),
    rating(7, 5, rules="profanity"),
]


def expected(task: int, status: str, waiver: str = "", given_on: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "process_key": "production",
        "period": OCTOBER,
        "rater_id": RATER,
        "ratee_id": SETTER,
        "rater_department_id": PRODUCTION,
        "ratee_department_id": ACCOUNTS,
        "task_id": task,
        "tasks": 1,
        "expected_on": date(2026, 10, 17),
        "due_on": date(2026, 11, 8),
        "status": status,
        "waiver": waiver,
        "rating_id": task if status == "fulfilled" else 0,
        "rated_on": date(2026, 10, given_on) if given_on else None,
        "mode": "open",
        "policy_version": "default",
    } | values


OBLIGATIONS = [
    expected(1, "fulfilled", given_on=20),
    expected(2, "fulfilled", given_on=21),
    expected(3, "missed"),
    expected(4, "waived", "left"),
    expected(5, "waived", "below_minimum"),
    expected(6, "missed", mode="named_to_hr"),
    expected(7, "waived", "task_deleted", ratee_department_id=PRODUCTION),
]


SCORE = {
    "scope": "named",
    "ratee_id": SETTER,
    "window_from": date(2026, 5, 1),
    "window_to": OCTOBER,
    "ratings": 4,
    "raters": 2,
    "months": 1,
    "effective_ratings": 4.0,
    "coverage": 0.6667,
    "mean_score": 4.25,
    "share_of_fives": 0.5,
    "adjusted_share": 0.6,
    "lower_bound": 0.4,
    "upper_bound": 0.8,
    "sensitivity_share": 0.6,
    "sensitivity_band": "В норме",
    "component": 0,
    "component_share": 0.6,
    "band": "В норме",
    "explanation": "В норме: 4 оценки.",
    "method_version": "1",
    "is_frozen": False,
}
HIDDEN_SCORE = SCORE | dict.fromkeys(FIGURES) | {"scope": "hidden", "window_from": date(2025, 7, 1), "is_frozen": True}
SCORES = [SCORE, HIDDEN_SCORE | {"window_to": date(2025, 12, 1)}]
SIGNAL = {
    "signal_type": "sinking",
    "title": "Занижение",
    "rater_id": RATER,
    "ratee_id": SETTER,
    "window_from": date(2026, 5, 1),
    "window_to": OCTOBER,
    "ratings": 2,
    "strength": 3.5,
    "explanation": "Две оценки ниже ожидаемых.",
    "is_experimental": False,
    "status": "new",
    "method_version": "1",
    "is_frozen": False,
}
DECISION = {
    "number": 1,
    "ratee_id": SETTER,
    "period": OCTOBER,
    "scope": "named",
    "recommendation": "В норме",
    "decision": "rejected",
    "decided_by": COLLEAGUE,
    "decided_on": date(2026, 11, 9),
    "reason": "сорвал сроки двух проектов",
    "reason_level": "ok",
    "exclusion_code": "",
    "is_counted": True,
    "is_different": True,
}
COMPUTED = {"fct_score": SCORES, "fct_signal": [SIGNAL], "fct_decision": [DECISION]}
"""Tables of `hr` that no transform fills."""


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Warehouse(path=tmp_path_factory.mktemp("transforms") / "warehouse").session("test") as session:
        session.prepare()
        yield session


@pytest.fixture(scope="module")
def frames() -> BatchDefinition[Any]:
    return frames_for_suites()


BUILT: dict[int, Any] = {}
"""What the copies of a session were built from: tests that only look need no copies of their own."""


def build(db: Session, ratings: list[dict[str, Any]] = RATINGS) -> None:
    """Fills all copies as a run does, unless they are still what they would become."""
    if BUILT.get(id(db)) == ratings:
        return
    BUILT[id(db)] = ratings
    db.clear_stage()
    for target in PUBLISHED:
        db.stage(target, [202610])
    db.lay_down("released_rating", pa.Table.from_pylist(ratings, RELEASED_COLUMNS))
    db.lay_down("released_obligation", pa.Table.from_pylist(OBLIGATIONS, RELEASED_OBLIGATION_COLUMNS))
    db.lay_down("department_version", pa.Table.from_pylist(DEPARTMENTS))
    db.lay_down("employee_version", pa.Table.from_pylist(EMPLOYEES))
    process = {"process_key": "production", "title": "Задачи", "cadence": "task", "comment_required_below": 5}
    db.insert("stg.dwh_dim_process", pa.Table.from_pylist([process]))
    _fill_rules(db, table("dwh", "dim_rule"))
    _fill_reasons(db, table("dwh", "dim_reason"))
    for target in PUBLISHED:
        if transform(target).is_file() or target.name in COMPUTED:
            fill(db, target)


def refill(db: Session, target: PublishedTable, today: date = TODAY) -> None:
    db.stage(target, [202610])
    fill(db, target, today)


def fill(db: Session, target: PublishedTable, today: date = TODAY) -> None:
    if target.name in COMPUTED:
        db.insert(target.staged, pa.Table.from_pylist(COMPUTED[target.name]))
        return
    db.fill(target, {"today": today} if target.name in {"dim_date", "coverage"} else None)


def one(db: Session, sql: str) -> dict[str, Any]:
    (row,) = db.rows(sql)
    return row


def test_both_figures_of_a_pair_stand_side_by_side(db: Session) -> None:
    build(db)
    row = one(db, "SELECT * FROM stg.mart_department_pair")
    assert (row["rater_department"], row["ratee_department"], row["rater_band"]) == (
        "Производство",
        "Аккаунтинг",
        "1-3",
    )
    assert (row["ratings"], row["mean_score"], row["share_of_fives"]) == (4, 4.25, 0.5)
    assert (row["mean_score_all"], row["share_of_fives_all"], row["unexplained_share"]) == (3.8, 0.4, 0.2)
    assert row["explained_share"] == pytest.approx(2 / 3)
    assert row["coverage"] == pytest.approx(2 / 3)


def test_reasons_of_a_pair_weigh_as_much_as_its_lowered_scores(db: Session) -> None:
    build(db)
    rows = db.rows("SELECT * FROM stg.mart_reason ORDER BY reason_code")
    found = {row["reason_code"]: (row["form_weight"], row["auto_weight"], row["weight"]) for row in rows}
    assert found == {
        "brief": (0, 0.5, 0.5),
        "deadline": (1, 0, 1),
        "materials": (0, 0.5, 0.5),
        "untagged": (0, 1, 1),
    }
    assert {row["low_ratings"] for row in rows} == {3}
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert all(row["title"] for row in rows)


def test_the_bridge_holds_every_reason_of_open_ratings_and_the_fact_the_first(db: Session) -> None:
    build(db)
    rows = db.rows(
        "SELECT rating_id, reason_code, weight FROM stg.dwh_bridge_rating_reason ORDER BY rating_id, reason_code"
    )
    assert [tuple(row.values()) for row in rows] == [
        (2, "brief", 0.5),
        (2, "materials", 0.5),
        (3, "untagged", 1),
        (4, "deadline", 1),
        (5, "untagged", 1),
    ]
    firsts = db.rows("SELECT rating_id, reason_code, ruleset_version FROM stg.hr_fct_rating ORDER BY rating_id")
    assert [row["reason_code"] for row in firsts] == ["", "brief", "untagged", "deadline", "untagged", "untagged", ""]
    assert {row["ruleset_version"] for row in firsts} == {"7"}


def test_a_rating_breaks_each_of_its_rules_once_and_notes_are_marked(db: Session) -> None:
    build(db)
    rows = db.rows("SELECT * FROM stg.mart_rule_violation")
    assert {row["rule_code"]: (row["severity"], row["ratings"], row["low_ratings"]) for row in rows} == {
        "no_letters": ("violation", 1, 3),
        "no_reason": ("weak", 1, 3),
        "profanity": ("info", 2, 3),
    }
    assert all(row["title"] and row["hint"] and row["rater_department"] == "Производство" for row in rows)


def test_coverage_leaves_out_what_is_waived(db: Session) -> None:
    build(db)
    given, waived = db.rows("SELECT * FROM stg.mart_coverage ORDER BY ratee_department_id")
    counts = ("expected", "fulfilled", "missed", "waived_left", "waived_below_minimum", "waived_task_deleted")
    assert [given[name] for name in counts] == [5, 2, 1, 1, 1, 0]
    assert (given["coverage"], given["timeliness"], given["is_final"]) == (pytest.approx(2 / 3), 0.5, True)
    assert [waived[name] for name in counts] == [1, 0, 0, 0, 0, 1]
    assert (waived["coverage"], waived["timeliness"]) == (None, None)
    assert db.count("stg.mart_department_pair") == 1


@pytest.mark.parametrize(("today", "is_final"), [(date(2026, 11, 7), False), (date(2026, 11, 8), True)])
def test_coverage_is_final_from_the_freeze_on(db: Session, today: date, is_final: bool) -> None:
    build(db)
    refill(db, table("mart", "coverage"), today)
    assert {row["is_final"] for row in db.rows("SELECT is_final FROM stg.mart_coverage")} == {is_final}


# --- audits -------------------------------------------------------------------------------------------------------

MONTHS = {"months": [202610]}


def test_what_a_run_builds_passes_every_audit(db: Session, frames: BatchDefinition[Any]) -> None:
    build(db)
    db.insert("stg.dwh_dim_policy", pa.Table.from_pylist([{"policy_version": "default", "mode": "open"}]))
    for suite in SUITES.values():
        frame = db.query(f"SELECT {suite.select} FROM {suite.target.staged}", MONTHS).to_pandas()
        broken = [name for name, passed in run_suite(suite, frame, frames).items() if not passed]
        assert not broken, suite.target.full_name


SPOILED = {
    ("hr", "fct_obligation", "status_waiver_and_rating_agree"): {"status": "waived"},
    ("hr", "fct_obligation", "row_was_released_by_the_policy"): {"mode": "open", "task_id": 99},
    ("hr", "fct_obligation", "row_is_no_more_open_than_its_rating"): {
        "rating_id": 6,
        "status": "fulfilled",
        "waiver": "",
    },
    ("hr", "fct_obligation", "mode_is_named"): {"mode": "aggregate"},
    ("hr", "fct_score", "score_stands_once"): {},
    ("hr", "fct_score", "scope_is_known"): {"scope": "open"},
    ("hr", "fct_score", "band_is_known"): {"band": "Премия"},
    ("hr", "fct_score", "window_is_a_half_year"): {"window_from": date(2026, 6, 1)},
    ("hr", "fct_score", "bounds_enclose_the_share_between_0_and_1"): {"lower_bound": 0.61},
    ("hr", "fct_score", "score_says_why_and_by_which_method"): {"explanation": ""},
    ("hr", "fct_score", "ratee_has_a_version"): {"ratee_id": 99},
    ("hr", "fct_score", "figures_follow_from_named_ratings"): {"mean_score": 4.5},
    ("hr", "fct_score", "hidden_rows_show_no_figures"): {"scope": "hidden"},
    ("hr", "fct_score", "hidden_windows_of_a_ratee_never_overlap"): {
        "scope": "hidden",
        "window_from": date(2025, 12, 1),
        "window_to": date(2026, 5, 1),
    },
    ("hr", "fct_score", "hidden_rows_are_decided_for_good"): {"scope": "hidden", "is_frozen": False},
    ("hr", "fct_signal", "signal_stands_once"): {"strength": 1.0},
    ("hr", "fct_signal", "status_is_known"): {"status": "closed"},
    ("hr", "fct_signal", "window_is_a_half_year"): {"window_to": date(2026, 9, 1)},
    ("hr", "fct_signal", "signal_says_what_it_rests_on"): {"ratings": 0},
    ("hr", "fct_signal", "signal_is_about_named_ratings"): {"ratee_id": 99},
    ("hr", "fct_decision", "decision_stands_once"): {"ratee_id": RATER},
    ("hr", "fct_decision", "decision_is_known"): {"decision": "bonus"},
    ("hr", "fct_decision", "counted_means_no_exclusion"): {"exclusion_code": "unexplained"},
    ("hr", "fct_decision", "counted_decisions_have_a_recommendation_and_a_reason"): {"reason_level": "violation"},
    ("hr", "fct_decision", "recommendation_is_the_published_one"): {"recommendation": "Стабильно выше"},
    ("hr", "fct_decision", "different_means_rejected"): {"decision": "accepted"},
    ("dwh", "bridge_rating_reason", "weights_of_a_rating_add_up_to_1"): {"weight": 0.9},
    ("dwh", "bridge_rating_reason", "rating_is_in_fct_rating"): {"rating_id": 6},
    ("dwh", "bridge_rating_reason", "reason_is_in_dim_reason"): {"reason_code": "weather"},
    ("dwh", "fct_rating", "comment_rules_are_in_dim_rule"): {"comment_rules": "no_letters,gone"},
    ("dwh", "fct_rating", "reason_is_in_dim_reason"): {"reason_code": "weather"},
    ("mart", "coverage", "coverage_and_timeliness_are_shares"): {"coverage": 1.5},
    ("mart", "coverage", "every_expected_rating_has_its_status"): {"missed": 9},
    ("mart", "reason", "weights_add_up_to_ratings"): {"auto_weight": 9.0},
    ("mart", "rule_violation", "only_lowered_scores_break_rules"): {"ratings": 9, "severity": "weak"},
    ("mart", "rule_violation", "severity_is_known"): {"severity": ""},
    ("mart", "comment_queue", "scope_is_open"): {"scope": "hidden"},
}


@pytest.mark.parametrize("case", list(SPOILED), ids=" ".join)
def test_an_audit_stops_a_table_that_says_what_it_must_not(
    db: Session, frames: BatchDefinition[Any], case: tuple[str, str, str]
) -> None:
    database, name, rule = case
    suite = SUITES[database, name]
    build(db)
    target = suite.target
    order = "scope DESC" if name == "fct_score" else "ALL"
    first = db.query(f"SELECT * FROM {target.staged} ORDER BY {order} LIMIT 1")
    db.insert(target.staged, pa.Table.from_pylist([first.to_pylist()[0] | SPOILED[case]], first.schema))
    frame = db.query(f"SELECT {suite.select} FROM {target.staged}", MONTHS).to_pandas()
    refill(db, target)
    assert not run_suite(suite, frame, frames)[rule]


def test_suites_that_share_their_frames_do_not_share_their_verdicts(frames: BatchDefinition[Any]) -> None:
    rule = Rule("low_is_low", lambda gxe: gxe.ExpectColumnValuesToBeBetween(column="n", min_value=0, max_value=3))
    suite = Suite(table("mart", "reason"), "n", (rule,))
    verdicts = [
        run_suite(suite, pa.table({"n": numbers}).to_pandas(), frames)["low_is_low"]
        for numbers in ([1, 2], [1, 9], [3], [], [4])
    ]
    assert verdicts == [True, False, True, True, False]


# --- other copies --------------------------------------------------------------------------------------------------


def test_with_unexplained_scores_counted_the_share_explained_is_the_same(db: Session) -> None:
    build(db, [one | {"exclusion_code": ""} if one["exclusion_code"] == "unexplained" else one for one in RATINGS])
    row = one(db, "SELECT * FROM stg.mart_department_pair")
    assert (row["ratings"], row["mean_score"], row["mean_score_all"], row["unexplained_share"]) == (5, 3.8, 3.8, 0.0)
    assert row["explained_share"] == pytest.approx(2 / 3)
    assert one(db, "SELECT ratings FROM stg.mart_rule_violation WHERE rule_code = 'no_letters'")["ratings"] == 1


def test_the_queue_holds_what_says_too_little_with_a_hint_for_its_rater(db: Session) -> None:
    build(db, [*RATINGS, rating(8, 4, tags="untagged"), rating(9, 4, "violation", exclusion_code="duplicate_rating")])
    rows = db.rows(
        "SELECT comment, rater, ratee, score, comment_level, hint FROM stg.mart_comment_queue ORDER BY comment"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("comment 3", "Ким Олег", "Зуева Анна", 2, "violation", comments.RULES["no_letters"].hint),
        ("comment 4", "Ким Олег", "Зуева Анна", 3, "weak", comments.RULES["no_reason"].hint),
        ("comment 8", "Орлов Пётр", "Зуева Анна", 4, "ok", ""),
    ]


def test_ratings_that_are_not_open_stand_in_hr_alone(db: Session) -> None:
    build(db, [rating(6, 1, "violation", "no_letters", "untagged", mode="named_to_hr")])
    assert db.count("stg.hr_fct_rating") == 1
    for name in ("dwh_fct_rating", "dwh_bridge_rating_reason"):
        assert db.count(f"stg.{name}") == 0
    for name in ("department_pair", "reason", "rule_violation", "comment_queue", "comment_feed"):
        assert db.count(f"stg.mart_{name}") == 0
    assert one(db, "SELECT sum(missed) AS n FROM stg.mart_coverage")["n"] == 1
    assert db.count("stg.hr_fct_obligation") == len(OBLIGATIONS)


def test_rules_and_reasons_that_destroyed_months_name_outlive_their_release(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(db)
    BUILT.clear()
    db.swap("first")
    before = comments.RULES
    monkeypatch.setattr(comments, "RULES", {"empty": before["empty"]})
    for target in PUBLISHED:
        db.stage(target)
    _fill_rules(db, table("dwh", "dim_rule"))
    kept = {row["rule_code"] for row in db.rows("SELECT rule_code FROM stg.dwh_dim_rule")}
    assert kept == {"empty", "no_letters", "no_reason", "profanity"}
    db.clear_stage()


def test_a_run_that_builds_the_same_again_changes_no_table(db: Session) -> None:
    build(db)
    db.swap("one")
    BUILT.clear()
    build(db)
    assert db.swap("two") == []
    BUILT.clear()
    build(db, [*RATINGS[:-1], RATINGS[-1] | {"comment": "other"}])
    assert {target.full_name for target in db.swap("three")} == {"dwh.fct_rating", "hr.fct_rating", "mart.comment_feed"}
    BUILT.clear()
