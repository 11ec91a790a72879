"""Shares of hidden scope: reasons, broken comment rules and coverage of departments.

Belongs here: which departments have enough people behind a share, how a share is made and rounded. Does not belong
here: when a quarter or month is closed, names of departments, what was published before (`assets/`).

Dominance: every person weighs 1, whatever the number of ratings, so that one busy author cannot be read out of a
department's figures. No count leaves: a share of so many would be a count.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import pandas as pd

from assets.rules.comments import RULES, VIOLATION, WEAK
from assets.rules.obligations import FULFILLED, WAIVED
from assets.rules.reasons import REASONS
from assets.rules.thresholds import shielded

SHARED_MODES = ("named_to_hr", "pseudonymous", "aggregate")
"""Modes whose ratings enter shares; `department_only` enters pairs and nothing else."""

GIVEN = ("", "unexplained")
"""Exclusion codes of ratings that say something of the work: counted, or lowered without a word."""

ALL_PROCESSES = "*"
SHARE_RATERS, SHARE_AUTHORS = 5, 3
SHARE_PARTS = 10
COVERAGE_RATERS = 4
COVERAGE_PARTS = 20

REASON_COLUMNS = (
    "period_from",
    "period_to",
    "process_key",
    "rater_department_id",
    "ratee_department_id",
    "reason_code",
    "title",
    "share",
)
VIOLATION_COLUMNS = (
    "period_from",
    "period_to",
    "process_key",
    "rater_department_id",
    "rule_code",
    "severity",
    "title",
    "hint",
    "share",
)
COVERAGE_COLUMNS = (
    "period_from",
    "period_to",
    "process_key",
    "rater_department_id",
    "ratee_department_id",
    "coverage",
    "is_final",
)


def reason_shares(ratings: pd.DataFrame, quarter: date) -> pd.DataFrame:
    """Why the people of a department were rated lower, in a quarter, all processes together.

    Published of a department in which at least 5 distinct people rated and at least 3 of them lowered a score. The
    share of a reason is the mean, over the authors of lowered ratings, of the part that it has in each one's lowered
    ratings; a rating with two reasons is half of each.

    What the ends tell: a reason without a row (below 5 %) incriminates nobody. A share of 1.0 (95 % and more) says
    that whoever lowered a score did it for this reason: not who that was, nor how many of the 5 or more raters, as
    at least 3 authors is all that a row says. Thresholds and not rounding keep that apart, so nothing is clamped.

    Args:
        ratings: checked ratings of hidden modes with columns mode, exclusion_code, period, rater_id,
            ratee_department_id, reason_codes (by commas; empty unless the score was lowered).
        quarter: its first day.

    Returns:
        `REASON_COLUMNS`, sorted: period_from and period_to are first days of months, process_key is `*`,
        rater_department_id 0, share in steps of 0.1; shares that round to 0 have no row.
    """
    low, departments = _lowered(ratings, quarter, "ratee_department_id")
    codes = low["reason_codes"].str.split(",")
    shares = _shares(low.assign(code=codes, part=1 / (low["reason_codes"].str.count(",") + 1)), departments)
    return pd.DataFrame(
        {
            **_window(quarter),
            "process_key": ALL_PROCESSES,
            "rater_department_id": 0,
            "ratee_department_id": shares["department_id"],
            "reason_code": shares["code"],
            "title": [REASONS[code] for code in shares["code"]],
            "share": shares["share"],
        },
        columns=list(REASON_COLUMNS),
    )


def violation_shares(ratings: pd.DataFrame, quarter: date) -> pd.DataFrame:
    """Which comment rules a department's raters break, in a quarter, all processes together.

    Conditions, weights and what the ends tell are those of `reason_shares`, by the department that rated. A share of
    1.0 says that nobody who lowered a score explained it well: that is advice to a department, and names no score.

    Args:
        ratings: checked ratings of hidden modes with columns mode, exclusion_code, period, rater_id,
            rater_department_id, reason_codes, comment_rules (by commas).
        quarter: its first day.

    Returns:
        `VIOLATION_COLUMNS`, sorted: only rules of severity violation and weak; share in steps of 0.1, of the lowered
        ratings that break the rule; shares that round to 0 have no row.
    """
    low, departments = _lowered(ratings, quarter, "rater_department_id")
    shares = _shares(low.assign(code=low["comment_rules"].str.split(","), part=1.0), departments)
    advice = {code: rule for code, rule in RULES.items() if rule.severity in (VIOLATION, WEAK)}
    shares = shares[shares["code"].isin(list(advice))].reset_index(drop=True)
    rules = [advice[code] for code in shares["code"]]
    return pd.DataFrame(
        {
            **_window(quarter),
            "process_key": ALL_PROCESSES,
            "rater_department_id": shares["department_id"],
            "rule_code": shares["code"],
            "severity": [rule.severity for rule in rules],
            "title": [rule.title for rule in rules],
            "hint": [rule.hint for rule in rules],
            "share": shares["share"],
        },
        columns=list(VIOLATION_COLUMNS),
    )


def coverage_shares(obligations: pd.DataFrame, month: date) -> pd.DataFrame:
    """Which part of the expected hidden ratings of a month was given, by process and pair of departments.

    Published of pairs with at least 4 distinct people from whom a rating was expected and not waived. Coverage is the
    mean of each one's own part.

    What the ends tell: 0.0 says of everybody there that he gave (next to) none, 1.0 that everybody gave (next to)
    all. That somebody was heard is no secret from those who know his tasks; what he said is, and no score enters here.

    Args:
        obligations: expected ratings of hidden modes with columns mode, process_key, period, rater_id,
            rater_department_id, ratee_department_id, status.
        month: its first day; it is frozen.

    Returns:
        `COVERAGE_COLUMNS`, sorted: period_from and period_to are the month, coverage in steps of 0.05, is_final true.
    """
    rows = obligations[
        obligations["mode"].isin(SHARED_MODES)
        & obligations["period"].isin([month])
        & obligations["status"].ne(WAIVED)
        & obligations["rater_department_id"].ne(0)
        & obligations["ratee_department_id"].ne(0)
    ]
    keys = ["process_key", "rater_department_id", "ratee_department_id"]
    rows = rows.assign(is_given=rows["status"].eq(FULFILLED).astype("float64"))
    of_each = rows.groupby([*keys, "rater_id"])["is_given"].mean()
    coverage = of_each.groupby(level=keys).mean()
    cells = coverage[shielded(rows, keys, "rater_id", COVERAGE_RATERS)].sort_index().reset_index(name="coverage")
    return pd.DataFrame(
        {
            "period_from": month,
            "period_to": month,
            **{key: cells[key] for key in keys},
            "coverage": _rounded(cells["coverage"], COVERAGE_PARTS),
            "is_final": True,
        },
        columns=list(COVERAGE_COLUMNS),
    )


def months_of(quarter: date) -> tuple[date, date, date]:
    """First days of a quarter's months."""
    return quarter, date(quarter.year, quarter.month + 1, 1), date(quarter.year, quarter.month + 2, 1)


def _window(quarter: date) -> dict[str, date]:
    first, _, last = months_of(quarter)
    return {"period_from": first, "period_to": last}


def _lowered(ratings: pd.DataFrame, quarter: date, side: str) -> tuple[pd.DataFrame, Collection[int]]:
    """Lowered ratings of a quarter, and the departments of one side with enough raters and authors."""
    given = ratings[
        ratings["mode"].isin(SHARED_MODES)
        & ratings["exclusion_code"].isin(GIVEN)
        & ratings["period"].isin(months_of(quarter))
        & ratings[side].ne(0)
    ].assign(department_id=ratings[side])
    low = given[given["reason_codes"].ne("")]
    has_raters = shielded(given, ["department_id"], "rater_id", SHARE_RATERS)
    has_authors = shielded(low, ["department_id"], "rater_id", SHARE_AUTHORS)
    return low, set(has_raters.index[has_raters]) & set(has_authors.index[has_authors])


def _shares(low: pd.DataFrame, departments: Collection[int]) -> pd.DataFrame:
    """Mean over authors of the part that each code has in their lowered ratings.

    Args:
        low: department_id, rater_id, code (a list), part (what one code of the rating weighs).
        departments: which may be published.

    Returns:
        department_id, code, share (rounded, above 0), sorted.
    """
    low = low[low["department_id"].isin(list(departments))]
    author = low.groupby(["department_id", "rater_id"])["part"].transform("size")
    authors = low.groupby("department_id")["rater_id"].transform("nunique")
    told = low.assign(weight=low["part"] / author / authors).explode("code")
    shares = told.groupby(["department_id", "code"])["weight"].sum().reset_index(name="share")
    shares["share"] = _rounded(shares["share"], SHARE_PARTS)
    return shares[shares["share"].gt(0)].reset_index(drop=True)


def _rounded(shares: pd.Series[float], parts: int) -> pd.Series[float]:
    """Half up; the order in which thirds were added must not move a share over the half."""
    return ((shares.astype("float64") * parts).round(9) + 0.5).floordiv(1) / parts
