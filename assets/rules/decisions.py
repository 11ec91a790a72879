"""What people made of recommendations and signals.

Belongs here: which recommendation a decision is about, whether it counts, whether it differs; which signals were looked
at. Does not belong here: reading the files (`sources/decisions.py`), the recommendations themselves (`scoring.py`).

A recommendation is never a decision. People decide, and say why: a reason that says nothing makes a decision not count.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import numpy as np
import pandas as pd

from assets.rules.comments import VIOLATION, judge

ACCEPTED, REJECTED, DEFERRED = "accepted", "rejected", "deferred"
NEW, REVIEWED, DISMISSED = "new", "reviewed", "dismissed"
NAMED, HIDDEN = "named", "hidden"

NO_PERIOD = date(1970, 1, 1)
"""Stands for a month that cannot be read."""

EXCLUSION_CODES = (
    "unknown_ratee",
    "unknown_period",
    "unknown_decision",
    "unexplained",
    "no_recommendation",
    "duplicate_decision",
)
"""Why a decision does not count, first match in this order."""

DECISION_ROWS = [
    "number",
    "ratee_id",
    "period",
    "scope",
    "recommendation",
    "decision",
    "decided_by",
    "decided_on",
    "reason",
    "reason_level",
    "exclusion_code",
    "is_counted",
    "is_different",
]


def decide(decisions: pd.DataFrame, scores: pd.DataFrame, employees: Collection[int]) -> pd.DataFrame:
    """Joins decisions to the recommendations they are about, and says which of them count.

    A decision is about the named recommendation of its month, or, without one, about the hidden one. Of those of one
    ratee and month that may count, the latest does: by its day, then by its place in the source; one without a day is
    older than any.

    Args:
        decisions: columns number, ratee_id, period, decision, decided_by, decided_on, reason
            (`sources.decisions.DECISION_COLUMNS`).
        scores: published recommendations; columns scope, ratee_id, window_to (date, first of month), band.
        employees: ids of all people who are known.

    Returns:
        A row per decision with the columns `DECISION_ROWS`, sorted by ratee_id, period and number. Without a
        recommendation `scope` and `recommendation` are empty; `is_different` is set where a decision that counts
        rejects its recommendation.
    """
    # Named ones last: they win.
    known = scores.sort_values("scope")
    recommended = dict(
        zip(
            zip(known["ratee_id"], known["window_to"], strict=True),
            zip(known["scope"], known["band"], strict=True),
            strict=True,
        )
    )
    rows = decisions.reset_index(drop=True)
    period = [NO_PERIOD if pd.isna(month) else month for month in rows["period"]]
    found = [recommended.get(key, ("", "")) for key in zip(rows["ratee_id"], period, strict=True)]
    level = [judge(reason).level for reason in rows["reason"]]
    recommendation = [band for _, band in found]
    broken = [
        ~rows["ratee_id"].isin(list(employees)),
        pd.Series([month == NO_PERIOD for month in period], dtype=bool),
        rows["decision"].eq(""),
        pd.Series([each == VIOLATION for each in level], dtype=bool),
        pd.Series([not band for band in recommendation], dtype=bool),
    ]
    # As objects: numpy cuts a longer code to the longest it has seen.
    code = np.select([test.to_numpy(dtype=bool) for test in broken], EXCLUSION_CODES[:-1], "").astype(object)
    decided = rows.assign(
        period=period,
        scope=[scope for scope, _ in found],
        recommendation=recommendation,
        reason_level=level,
    )
    days = [date.min if pd.isna(day) else day for day in rows["decided_on"]]
    by_age = decided.assign(day=days)[code == ""]
    by_age = by_age.sort_values(["day", "number"])
    code[by_age.index[by_age.duplicated(["ratee_id", "period"], keep="last")]] = EXCLUSION_CODES[-1]
    decided["exclusion_code"], decided["is_counted"] = code, code == ""
    decided["is_different"] = decided["is_counted"] & decided["decision"].eq(REJECTED)
    return decided.sort_values(["ratee_id", "period", "number"])[DECISION_ROWS].reset_index(drop=True)


def statuses(signals: pd.DataFrame, reviews: pd.DataFrame) -> pd.Series[str]:
    """What HR made of each signal.

    A review holds for the window it names and for later ones that overlap it: half a year on, the same people are
    looked at anew. Of several that hold, that of the latest window does, then the last of the file.

    Args:
        signals: columns signal_type, rater_id, ratee_id, window_from, window_to (dates, first of month).
        reviews: columns number, signal_type, rater_id, ratee_id, window_to, status
            (`sources.decisions.REVIEW_COLUMNS`).

    Returns:
        new, reviewed or dismissed, on the index of `signals`.
    """
    ordered = reviews.sort_values(["window_to", "number"])
    known: dict[tuple[str, int, int], list[tuple[date, str]]] = {}
    for pair, looked_at, status in zip(_pairs(ordered), ordered["window_to"], ordered["status"], strict=True):
        known.setdefault(pair, []).append((looked_at, status))
    found = []
    for pair, first, last in zip(_pairs(signals), signals["window_from"], signals["window_to"], strict=True):
        holding = [status for looked_at, status in known.get(pair, []) if first <= looked_at <= last]
        found.append(holding[-1] if holding else NEW)
    return pd.Series(found, index=signals.index, dtype=str, name="status")


def _pairs(signals: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Whom signals are about; two who rate each other are the same pair whoever is named first."""
    whole = zip(signals["signal_type"], signals["rater_id"], signals["ratee_id"], strict=True)
    return [
        (kind, *(sorted((rater, ratee)) if kind == "reciprocal" else (rater, ratee))) for kind, rater, ratee in whole
    ]
