"""A year replayed with runs in between: facts, versions and events are what really happened, as far as runs saw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from sources.stand_in.chronicle import chronicle
from sources.stand_in.state import MOSCOW
from sources.stand_in.truth import (
    Sighting,
    TruthRow,
    department_versions,
    employee_versions,
    rating_events,
    rating_truth,
    sight,
)
from tests.e2e.conftest import Site, open_everything

START = datetime(2025, 11, 1, 9, 0, tzinfo=MOSCOW)
END = datetime(2026, 11, 20, 15, 0, tzinfo=MOSCOW)
RETENTION = 8


def moments(every: int) -> list[datetime]:
    """Two days after each or every third freeze, a day in the middle of a month, and the end."""
    after_freeze = [datetime(2025, 12, 10, 6, tzinfo=MOSCOW)]
    after_freeze += [datetime(2026, month, 10, 6, tzinfo=MOSCOW) for month in range(1, 12)]
    return sorted([*after_freeze[every // 2 :: every], datetime(2026, 9, 28, 6, tzinfo=MOSCOW), END])


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_a_year_with_runs_in_between_ends_with_what_happened(make_site: Callable[..., Site], every: int) -> None:
    story = chronicle(1, "demo", START, END)
    site = make_site(open_everything(story.state), vault={"path": "vault", "retention_months": RETENTION})
    sightings: list[Sighting] = []
    facts: dict[tuple[str, int], TruthRow] = {}
    events: dict[tuple[str, int, int], dict[str, Any]] = {}
    for moment in moments(every):
        story.advance(site.portal.admin, moment)
        site.portal.admin.set_clock(moment)
        # What a run destroys at its end it has read and published before.
        oldest = next(iter(site.settings.vault().held()), "")
        site.run()
        sightings.append(sight(story.state, moment))
        assert len(site.settings.vault().held()) <= RETENTION
        # What stands in a month the vault has forgotten stays as the last run that held it saw it.
        facts = {key: row for key, row in facts.items() if f"{row.period:%Y-%m}" < oldest}
        facts |= {
            (row.process_key, row.rating_id): row
            for row in rating_truth(story.state, sightings=sightings)
            if f"{row.period:%Y-%m}" >= oldest
        }
        events = {key: row for key, row in events.items() if f"{row['period']:%Y-%m}" < oldest}
        events |= {
            key: row
            for key, row in numbered(sightings, story.state.config).items()
            if f"{row['period']:%Y-%m}" >= oldest
        }

    assert_facts(site, facts)
    assert_versions(site, sightings)
    assert_events(site, events)
    assert_story_is_rich(sightings, events)


def numbered(sightings: list[Sighting], config: Any) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Events by process, rating and their number."""
    counts: dict[tuple[str, int], int] = {}
    result = {}
    for event in rating_events(sightings, config):
        key = (event.process_key, event.rating_id)
        number = counts.get(key, 0)
        counts[key] = number + 1
        result[*key, number] = asdict(event) | {"event_number": number, "changed": ",".join(sorted(event.changed))}
    return result


def assert_facts(site: Site, expected: dict[tuple[str, int], TruthRow]) -> None:
    found = site.rows(
        "SELECT process_key, rating_id, toString(period) AS period, toString(rated_on) AS rated_on, ratee_id, "
        "toUInt64(rater_key) AS rater_id, rater_department_id, ratee_department_id, task_id, score, comment, "
        "exclusion_code FROM dwh.fct_rating ORDER BY process_key, rating_id"
    )
    columns = list(found.columns)
    truth = pd.DataFrame([asdict(row) for row in expected.values()]).astype({"period": str, "rated_on": str})
    truth = truth.sort_values(["process_key", "rating_id"], ignore_index=True)[columns]
    pd.testing.assert_frame_equal(found, truth, check_dtype=False)


def assert_versions(site: Site, sightings: list[Sighting]) -> None:
    employees = site.rows(
        "SELECT employee_id, full_name, position, department_id, is_active, toString(valid_from) AS valid_from, "
        "toString(valid_to) AS valid_to, is_current, is_inferred FROM dwh.dim_employee WHERE NOT is_unknown "
        "ORDER BY employee_id, valid_from"
    )
    truth = pd.DataFrame([asdict(version) for version in employee_versions(sightings)])
    compare(employees, truth, ["employee_id", "valid_from"])
    departments = site.rows(
        "SELECT department_id, name, parent_id, head_employee_id, toString(valid_from) AS valid_from, "
        "toString(valid_to) AS valid_to, is_current, is_inferred FROM dwh.dim_department WHERE department_id != 0"
    )
    truth = pd.DataFrame([asdict(version) for version in department_versions(sightings)])
    compare(departments, truth, ["department_id", "valid_from"])
    overlaps = site.rows(
        "SELECT count() AS n FROM hr.fct_rating AS rating LEFT JOIN dwh.dim_employee AS ratee "
        "ON rating.ratee_sk = ratee.employee_sk WHERE ratee_id != 0 AND "
        "(ratee.employee_id != rating.ratee_id OR rated_on < valid_from OR rated_on >= valid_to)"
    )
    assert overlaps["n"][0] == 0, "a fact points to a version of its ratee that did not hold on its day"


def assert_events(site: Site, expected: dict[tuple[str, int, int], dict[str, Any]]) -> None:
    found = site.rows(
        "SELECT process_key, rating_id, event_number, event, toString(period) AS period, "
        "toString(observed_on) AS observed_on, is_after_freeze, old_score, new_score, "
        "arrayStringConcat(arraySort(splitByChar(',', changed)), ',') AS changed FROM hr.fct_rating_event"
    )
    compare(found, pd.DataFrame(expected.values()), ["process_key", "rating_id", "event_number"])


def compare(found: pd.DataFrame, truth: pd.DataFrame, order: list[str]) -> None:
    for column in ("period", "observed_on", "valid_from", "valid_to"):
        if column in truth:
            truth = truth.astype({column: str})
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True),
        truth[list(found.columns)].sort_values(order, ignore_index=True),
        check_dtype=False,
    )


def assert_story_is_rich(sightings: list[Sighting], events: dict[tuple[str, int, int], dict[str, Any]]) -> None:
    """A year in which nothing happens would prove nothing."""
    kinds = {event["event"] for event in events.values()}
    assert kinds == {"create", "edit", "delete", "restore"}
    assert any(event["is_after_freeze"] for event in events.values() if event["event"] == "edit")
    versions = employee_versions(sightings)
    assert sum(not version.is_inferred for version in versions) > 20
    assert any(not version.is_current for version in department_versions(sightings))
    assert timedelta(days=300) < sightings[-1].state.now - sightings[0].state.now
