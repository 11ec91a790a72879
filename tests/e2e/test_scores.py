"""Scores of a whole run: figures follow from the named ratings beside them, and what is frozen stays."""

from __future__ import annotations

import shutil
from datetime import date
from typing import Any

import pandas as pd

from tests.e2e.conftest import Site

SCORES = "SELECT * FROM hr.fct_score WHERE scope = 'named' ORDER BY window_to, ratee_id"
SIGNALS = "SELECT * FROM hr.fct_signal ORDER BY ALL"
RATINGS = "SELECT period, rater_id, ratee_id, score FROM hr.fct_rating WHERE is_counted"


def plain_figures(ratings: pd.DataFrame, first: date, last: date) -> dict[int, tuple[Any, ...]]:
    """By ratee: ratings, raters, months, mean, share of fives, reckoned row by row."""
    given: dict[int, list[Any]] = {}
    for row in ratings.to_dict("records"):
        if first <= row["period"] <= last:
            given.setdefault(row["ratee_id"], []).append(row)
    return {
        ratee: (
            len(rows),
            len({row["rater_id"] for row in rows}),
            len({row["period"] for row in rows}),
            round(sum(row["score"] for row in rows) / len(rows), 3),
            round(sum(row["score"] == 5 for row in rows) / len(rows), 3),
        )
        for ratee, rows in given.items()
    }


def test_open_half_years_follow_the_ratings_and_frozen_ones_outlive_edits_and_a_lost_vault(tiny_site: Site) -> None:
    frozen, signals = tiny_site.rows(SCORES), tiny_site.rows(SIGNALS)
    frozen = frozen[frozen["is_frozen"].to_numpy(dtype=bool)]
    assert sorted(set(frozen["window_to"])) == [date(2026, 10, 1)]
    for process in tiny_site.config["processes"]:
        items = tiny_site.state.processes[process["entity_type_id"]].items
        for number in items:
            tiny_site.portal.admin.edit_item(
                process["entity_type_id"], number, {process["fields"]["score"]: number % 5 + 1}
            )
    shutil.rmtree(tiny_site.folder / "vault")
    tiny_site.run()
    after, ratings = tiny_site.rows(SCORES), tiny_site.rows(RATINGS)
    is_frozen = after["is_frozen"].to_numpy(dtype=bool)
    pd.testing.assert_frame_equal(after[is_frozen].reset_index(drop=True), frozen.reset_index(drop=True))
    kept = signals[signals["is_frozen"].to_numpy(dtype=bool)]
    now = tiny_site.rows(SIGNALS)
    pd.testing.assert_frame_equal(now[now["is_frozen"].to_numpy(dtype=bool)].reset_index(drop=True), kept)
    last = after[~is_frozen]
    assert set(last["window_to"]) == {date(2026, 11, 1)}
    assert {
        row["ratee_id"]: (
            row["ratings"],
            row["raters"],
            row["months"],
            round(row["mean_score"], 3),
            round(row["share_of_fives"], 3),
        )
        for row in last.to_dict("records")
    } == plain_figures(ratings, date(2026, 6, 1), date(2026, 11, 1))
