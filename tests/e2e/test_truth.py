"""What the portal holds is what the warehouse holds, row for row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from sources.stand_in.company import Scale, generate
from sources.stand_in.state import PortalState
from sources.stand_in.truth import TruthRow, obligation_truth, rating_truth
from tests.e2e.conftest import NOW, Site, open_everything

FACT = """
    SELECT process_key, rating_id, toString(period) AS period, toString(rated_on) AS rated_on, ratee_id,
        toUInt64(rater_key) AS rater_id, rater_department_id, ratee_department_id, task_id, score, comment,
        exclusion_code
    FROM {table} ORDER BY process_key, rating_id
"""


OBLIGATION = """
    SELECT process_key, toString(period) AS period, rater_id, ratee_id, rater_department_id, ratee_department_id,
        task_id, tasks, toString(expected_on) AS expected_on, toString(due_on) AS due_on, status, waiver, rating_id,
        ifNull(toString(rated_on), '') AS rated_on
    FROM hr.fct_obligation ORDER BY process_key, period, task_id, rater_id, ratee_id
"""


def truth(state: PortalState) -> pd.DataFrame:
    rows = [
        {
            "process_key": row.process_key,
            "rating_id": row.rating_id,
            "period": str(row.period),
            "rated_on": str(row.rated_on),
            "ratee_id": row.ratee_id,
            "rater_id": row.rater_id,
            "rater_department_id": row.rater_department_id,
            "ratee_department_id": row.ratee_department_id,
            "task_id": row.task_id,
            "score": row.score,
            "comment": row.comment,
            "exclusion_code": row.exclusion_code,
        }
        for row in rating_truth(state)
    ]
    return pd.DataFrame(rows).sort_values(["process_key", "rating_id"]).reset_index(drop=True)


def assert_equal_to_truth(site: Site) -> None:
    expected = truth(site.state)
    for table in ("dwh.fct_rating", "hr.fct_rating"):
        found = site.rows(FACT.format(table=table))
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def expected_obligations(state: PortalState) -> pd.DataFrame:
    rows = [vars(row) | {"rated_on": row.rated_on or ""} for row in obligation_truth(state)]
    frame = pd.DataFrame(rows)
    days = ["period", "expected_on", "due_on", "rated_on"]
    frame[days] = frame[days].astype("str")
    return frame.sort_values(["process_key", "period", "task_id", "rater_id", "ratee_id"], ignore_index=True)


def assert_obligations_equal_the_truth(site: Site) -> None:
    pd.testing.assert_frame_equal(site.rows(OBLIGATION), expected_obligations(site.state), check_dtype=False)


def records(site: Site, sql: str) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in site.rows(sql).to_dict("records")]


def assert_comments_are_judged_as_planted(site: Site) -> None:
    """Junk and vague comments have the level and the rule they were planted with; of real reasons a few are weak."""
    by_rating = {(row["process_key"], row["rating_id"]): row for row in records(site, "SELECT * FROM dwh.fct_rating")}
    reals = doubted = 0
    for row in rating_truth(site.state):
        judged = by_rating[row.process_key, row.rating_id]
        level, codes = judged["comment_level"], judged["comment_rules"].split(",")
        assert judged["ruleset_version"]
        if row.comment_level == "ok":
            reals += row.score is not None and row.score < 5
            doubted += level == "weak" and "copy_paste" not in codes
            assert level != "violation"
        elif row.comment_rule == "copy_paste":
            assert level == "weak"
        else:
            assert (level, codes[0]) == (row.comment_level, row.comment_rule)
    assert reals
    assert doubted <= 0.02 * reals


VIOLATIONS = """
    SELECT process_key, toString(period_from) AS period, rater_department_id, rule_code, ratings
    FROM mart.rule_violation WHERE severity = 'violation'
"""
PAIRS = """
    SELECT *, toString(period_from) AS period FROM mart.department_pair WHERE scope = 'open'
"""
LOWERED = """
    SELECT process_key, toString(period_from) AS period, rater_department_id, sum(weight) AS ratings
    FROM mart.reason GROUP BY process_key, period_from, rater_department_id
"""


def assert_marts_equal_the_truth(site: Site) -> None:
    """Violations, reasons and coverage by department, counted over the truth by hand."""
    rated = [row for row in rating_truth(site.state) if row.exclusion_code in {"", "unexplained"}]

    def place(row: TruthRow) -> tuple[str, str, int]:
        return row.process_key, str(row.period), row.rater_department_id

    violations = Counter((*place(row), row.comment_rule) for row in rated if row.comment_level == "violation")
    assert violations
    shown = {tuple(row.values())[:-1]: row["ratings"] for row in records(site, VIOLATIONS)}
    assert shown == dict(violations)
    low = Counter(place(row) for row in rated if row.score is not None and row.score < 5)
    assert {tuple(row.values())[:-1]: round(row["ratings"]) for row in records(site, LOWERED)} == dict(low)

    pairs = Counter((*place(row), row.ratee_department_id) for row in rated)
    counted = Counter((*place(row), row.ratee_department_id) for row in rated if not row.exclusion_code)
    for pair_row in records(site, PAIRS):
        pair = tuple(pair_row[name] for name in ("process_key", "period", "rater_department_id", "ratee_department_id"))
        assert pair_row["ratings"] == counted[pair]
        assert pair_row["unexplained_share"] == pytest.approx(1 - counted[pair] / pairs.pop(pair))
    assert not pairs, "a pair that rated has no row"

    expected: Counter[tuple[str, str, int, int, str]] = Counter()
    for row in obligation_truth(site.state):
        pair = (row.rater_department_id, row.ratee_department_id)
        expected[(row.process_key, str(row.period), *pair, row.waiver or row.status)] += 1
    covered: Counter[tuple[str, str, int, int, str]] = Counter()
    for cell in records(site, "SELECT * REPLACE (toString(period_from) AS period_from) FROM mart.coverage"):
        counts = {"fulfilled": cell["fulfilled"], "missed": cell["missed"]}
        counts |= {name: cell[f"waived_{name}"] for name in ("left", "below_minimum", "task_deleted")}
        assert cell["expected"] == sum(counts.values())
        pair = (cell["rater_department_id"], cell["ratee_department_id"])
        for status, number in counts.items():
            covered[(cell["process_key"], cell["period_from"], *pair, status)] += number
    assert +covered == expected


def assert_everything_equals_the_truth(site: Site) -> None:
    assert_equal_to_truth(site)
    assert_obligations_equal_the_truth(site)
    assert_marts_equal_the_truth(site)


def change(site: Site) -> None:
    """Deletes, edits and inserts in every process."""
    for config in site.config["processes"]:
        process = site.state.processes[config["entity_type_id"]]
        ids = sorted(process.items)
        site.portal.admin.delete_item(process.entity_type_id, ids[0])
        site.portal.admin.edit_item(process.entity_type_id, ids[1], {config["fields"]["comment"]: "переделали дважды"})
        site.portal.admin.edit_item(process.entity_type_id, ids[2], {config["fields"]["rater"]: 0})
        copied = dict(process.items[ids[-1]])
        copied.pop("id")
        site.portal.admin.insert_item(process.entity_type_id, copied)


def assert_some_are_deleted(site: Site) -> None:
    assert site.rows("SELECT count() AS n FROM dwh.fct_rating WHERE exclusion_code = 'deleted'")["n"][0] > 0


def test_facts_equal_the_truth_also_after_edits_deletions_and_insertions_and_only_months_that_changed_are_read(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(open_everything(generate(1, "demo", NOW)))
    site.run()
    assert_everything_equals_the_truth(site)
    assert_comments_are_judged_as_planted(site)

    config = site.state.config["processes"][0]
    items = site.state.processes[config["entity_type_id"]].items
    february = next(number for number, item in items.items() if item["createdTime"].startswith("2026-02"))
    site.portal.admin.edit_item(
        config["entity_type_id"], february, {config["fields"]["comment"]: "исправлено в феврале"}
    )
    report = site.run()
    read = site.rows(
        "SELECT DISTINCT toString(period_from) AS first, toString(period_to) AS last FROM ops.load_run "
        f"WHERE run_id IN {tuple(report.run_ids)} ORDER BY first"
    )
    assert read.to_numpy().tolist() == [["2026-02-01", "2026-02-01"], ["2026-11-01", "2026-11-01"]]
    assert_equal_to_truth(site)

    change(site)
    site.run()
    assert_everything_equals_the_truth(site)
    assert_some_are_deleted(site)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "seed"), [("demo", 1), ("tiny", 7)])
def test_a_second_run_changes_nothing_and_what_was_deleted_comes_back(
    make_site: Callable[..., Site], scale: Scale, seed: int
) -> None:
    site = make_site(open_everything(generate(seed, scale, NOW)))
    site.run()
    assert_everything_equals_the_truth(site)
    assert not site.run().changed, "a second run over an unchanged portal changed a published table"
    change(site)
    site.run()
    assert_everything_equals_the_truth(site)
    assert_some_are_deleted(site)
    for process in site.state.processes.values():
        for gone in list(process.deleted):
            site.portal.admin.restore_item(process.entity_type_id, gone)
    site.run()
    assert_equal_to_truth(site)


def test_only_the_months_asked_for_are_read_and_one_whose_ratings_all_move_away_becomes_empty(
    make_site: Callable[..., Site],
) -> None:
    state = open_everything(generate(3, "demo", NOW))
    site = make_site(state)
    site.run(first="2026-08", last="2026-09")
    found = site.rows(FACT.format(table="dwh.fct_rating"))
    expected = truth(state)
    asked = expected[expected["period"].isin(["2026-08-01", "2026-09-01"])].reset_index(drop=True)
    # A duplicate is told by the ratings the vault knows: those of other months are not there yet.
    plain = asked["exclusion_code"].ne("duplicate_rating") & found["exclusion_code"].ne("duplicate_rating")
    pd.testing.assert_frame_equal(found[plain], asked[plain], check_dtype=False)
    assert len(found) == len(asked)

    monthly = next(item for item in state.config["processes"] if item["key"] == "salary")
    period, entity = monthly["fields"]["period"], monthly["entity_type_id"]
    counted = "SELECT count() AS n FROM dwh.fct_rating WHERE period = '2026-09-01' AND process_key = 'salary'"
    assert site.rows(counted)["n"][0] > 0
    for item_id, item in list(state.processes[entity].items.items()):
        if str(item[period]).startswith("2026-09"):
            site.portal.admin.edit_item(entity, item_id, {period: "2026-08-01T03:00:00+03:00"})
    site.run(first="2026-08", last="2026-09")
    assert site.rows(counted)["n"][0] == 0
    expected = truth(state)
    moved = expected[(expected["process_key"] == "salary") & (expected["period"] == "2026-08-01")]
    found = site.rows(FACT.format(table="dwh.fct_rating"))
    assert len(found[(found["process_key"] == "salary") & (found["period"] == "2026-08-01")]) == len(moved)


def test_deleting_a_whole_month_needs_consent_and_leaves_no_counted_rating(tiny_site: Site) -> None:
    from assets.rules.deletions import MassDeletionError

    site, state = tiny_site, tiny_site.state
    before = site.tables()
    month = "2026-10-01"
    for row in rating_truth(state):
        if str(row.period) == month and not row.is_deleted:
            process = next(p for p in state.config["processes"] if p["key"] == row.process_key)
            site.portal.admin.delete_item(process["entity_type_id"], row.rating_id)
    with pytest.raises(MassDeletionError, match="2026-10"):
        site.run()
    for name, frame in site.tables().items():
        pd.testing.assert_frame_equal(frame, before[name])
    site.run(accept_deletions=True)
    assert_equal_to_truth(site)
    assert site.rows(f"SELECT countIf(is_counted) AS n FROM dwh.fct_rating WHERE period = '{month}'")["n"][0] == 0
    assert site.rows(f"SELECT count() AS n FROM mart.department_pair WHERE period_from = '{month}'")["n"][0] == 0


def test_a_rating_that_changes_its_month_stands_in_one_month_whatever_months_a_run_covers(
    tiny_site: Site,
) -> None:
    site, state = tiny_site, tiny_site.state
    monthly = next(item for item in state.config["processes"] if item["cadence"] == "month")
    period, entity = monthly["fields"]["period"], monthly["entity_type_id"]
    november = [
        item_id
        for item_id, item in state.processes[entity].items.items()
        if str(item["createdTime"]).startswith("2026-11") and str(item[period]).startswith("2026-10")
    ]
    assert november
    for target, months in (("2026-11-01", "2026-11"), ("2026-10-01", "2026-11"), ("2026-11-01", "2026-10")):
        site.portal.admin.edit_item(entity, november[0], {period: f"{target}T03:00:00+03:00"})
        site.run(first=months, last=months)
        assert_equal_to_truth(site)


def test_a_rating_keeps_the_departments_it_was_first_judged_with_so_that_a_move_opens_nothing(
    make_site: Callable[..., Site],
) -> None:
    state = generate(6, "tiny", NOW)
    people = {int(row["ID"]): row for row in state.users.values()}
    process = state.config["processes"][0]
    rating = next(row for row in rating_truth(state) if row.process_key == process["key"] and not row.exclusion_code)
    other = next(
        int(row["ID"])
        for row in state.departments.values()
        if int(row["ID"]) != rating.rater_department_id and "PARENT" in row
    )
    state.config["policies"] = [
        {"process": "*", "valid_from": "2020-01-01", "mode": "aggregate"},
        {"process": "*", "rater_department": other, "valid_from": "2020-01-01", "mode": "open"},
    ]
    site = make_site(state)
    site.run()
    query = (
        f"SELECT count() AS n FROM dwh.fct_rating WHERE process_key = '{rating.process_key}' "
        f"AND rating_id = {rating.rating_id}"
    )
    assert site.rows(query)["n"][0] == 0
    people[rating.rater_id]["UF_DEPARTMENT"] = [other]
    site.run()
    assert site.rows(query)["n"][0] == 0, "moving a person opened what was hidden when it was given"
