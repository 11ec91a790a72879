"""What the portal holds is what the warehouse holds, row for row."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from sources.stand_in.company import generate
from sources.stand_in.state import PortalState
from sources.stand_in.truth import rating_truth
from tests.e2e.conftest import NOW, Site, open_everything

FACT = """
    SELECT process_key, rating_id, toString(period) AS period, toString(rated_on) AS rated_on, ratee_id,
        toUInt64(rater_key) AS rater_id, rater_department_id, ratee_department_id, task_id, score, comment,
        exclusion_code
    FROM {table} ORDER BY process_key, rating_id
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


@pytest.mark.parametrize(("scale", "seed"), [("demo", 1), ("tiny", 7)])
def test_facts_equal_the_truth_also_after_edits_deletions_and_insertions(
    make_site: Callable[..., Site], scale: str, seed: int
) -> None:
    state = open_everything(generate(seed, scale, NOW))  # type: ignore[arg-type]
    site = make_site(state)
    site.run()
    assert_equal_to_truth(site)
    assert not site.run().changed, "a second run over an unchanged portal changed a published table"

    for process in state.processes.values():
        config = next(item for item in state.config["processes"] if item["entity_type_id"] == process.entity_type_id)
        ids = sorted(process.items)
        site.portal.admin.delete_item(process.entity_type_id, ids[0])
        site.portal.admin.edit_item(process.entity_type_id, ids[1], {config["fields"]["comment"]: "переделали дважды"})
        site.portal.admin.edit_item(process.entity_type_id, ids[2], {config["fields"]["rater"]: 0})
        copied = dict(process.items[ids[-1]])
        copied.pop("id")
        site.portal.admin.insert_item(process.entity_type_id, copied)
    site.run()
    assert_equal_to_truth(site)

    deleted = site.rows("SELECT count() AS n FROM dwh.fct_rating WHERE exclusion_code = 'deleted'")["n"][0]
    assert deleted > 0
    for process in state.processes.values():
        for gone in list(process.deleted):
            site.portal.admin.restore_item(process.entity_type_id, gone)
    site.run()
    assert_equal_to_truth(site)


def test_a_month_whose_ratings_all_move_away_becomes_empty(make_site: Callable[..., Site]) -> None:
    state = open_everything(generate(3, "demo", NOW))
    site = make_site(state)
    site.run(first="2026-08", last="2026-11")
    monthly = next(item for item in state.config["processes"] if item["key"] == "salary")
    period, entity = monthly["fields"]["period"], monthly["entity_type_id"]
    counted = "SELECT count() AS n FROM dwh.fct_rating WHERE period = '2026-09-01' AND process_key = 'salary'"
    assert site.rows(counted)["n"][0] > 0
    for item_id, item in list(state.processes[entity].items.items()):
        if str(item[period]).startswith("2026-09"):
            site.portal.admin.edit_item(entity, item_id, {period: "2026-08-01T03:00:00+03:00"})
    site.run(first="2026-08", last="2026-11")
    assert site.rows(counted)["n"][0] == 0
    expected = truth(state)
    moved = expected[(expected["process_key"] == "salary") & (expected["period"] == "2026-08-01")]
    found = site.rows(FACT.format(table="dwh.fct_rating"))
    assert len(found[(found["process_key"] == "salary") & (found["period"] == "2026-08-01")]) == len(moved)


def test_deleting_a_whole_month_needs_consent_and_leaves_no_counted_rating(make_site: Callable[..., Site]) -> None:
    from assets.rules.deletions import MassDeletionError

    state = open_everything(generate(2, "tiny", NOW))
    site = make_site(state)
    site.run()
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


def test_only_the_months_asked_for_are_read_and_published(make_site: Callable[..., Site]) -> None:
    site = make_site(open_everything(generate(4, "demo", NOW)))
    site.run(first="2026-05", last="2026-06")
    found = site.rows(FACT.format(table="dwh.fct_rating"))
    expected = truth(site.state)
    asked = expected[expected["period"].isin(["2026-05-01", "2026-06-01"])].reset_index(drop=True)
    # A duplicate is told by the ratings the vault knows: those of other months are not there yet.
    plain = asked["exclusion_code"].ne("duplicate_rating") & found["exclusion_code"].ne("duplicate_rating")
    pd.testing.assert_frame_equal(found[plain], asked[plain], check_dtype=False)
    assert len(found) == len(asked)


def test_a_rating_that_changes_its_month_stands_in_one_month_whatever_months_a_run_covers(
    make_site: Callable[..., Site],
) -> None:
    state = open_everything(generate(8, "tiny", NOW))
    site = make_site(state)
    site.run()
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
