"""Structure rules: is this rating a rating at all, of whom, by whom, and does it count.

Belongs here: the exclusion codes and their order, duplicates, direction, windows. Does not belong here: what a comment
says (`comments.py`), who may see a rating (`policy.py`, `disclosure.py`).

A rating that fails stays as a row with its code: nothing is dropped, so that counts can be reconciled with the CRM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from assets.rules import comments, reasons
from assets.rules.organisation import Organisation

EXCLUSION_CODES = (
    "no_score",
    "score_range",
    "no_rater",
    "no_ratee",
    "unknown_rater",
    "unknown_ratee",
    "self_rating",
    "duplicate_rating",
    "wrong_direction",
    "out_of_window",
    "stage_not_counted",
    "deleted",
    "unexplained",
)
"""First match wins, in this order."""

COPY_PASTE = "copy_paste"
"""The comment rule that looks at a rater's other ratings, not at the text alone."""


@dataclass(frozen=True)
class ProcessTerms:
    """What of a process's configuration decides whether a rating counts.

    Attributes:
        is_monthly: one rating per pair and month instead of one per task.
        comment_required_below: scores below it need an explanation.
        counted_stages: stage ids without prefix; None means all but the funnel's failure stages.
        setter_departments: where ratees sit, sub-departments included; empty means anywhere.
        executor_departments: where raters sit, likewise.
    """

    is_monthly: bool
    comment_required_below: int
    counted_stages: frozenset[str] | None = None
    setter_departments: frozenset[int] = frozenset()
    executor_departments: frozenset[int] = frozenset()


def freeze_date(period: date, freeze_day: int) -> date:
    """The day at whose 00:00, portal time, a month is frozen."""
    following = period.month % 12 + 1
    return date(period.year + period.month // 12, following, freeze_day)


def find_duplicates(ratings: pd.DataFrame, terms: Mapping[str, ProcessTerms]) -> npt.NDArray[np.bool_]:
    """Marks every rating but the first (lowest id) of the same rater, ratee, process and task or month.

    Args:
        ratings: all ratings of all periods at once: a task can be rated again in another month. Columns process_key,
            rating_id, rater_id, ratee_id, task_id, period, is_deleted.
        terms: by process key.

    Returns:
        One flag per row. Deleted ratings take no part: when the first is deleted, the next takes its place.
    """
    is_monthly = ratings["process_key"].map({key: term.is_monthly for key, term in terms.items()}).to_numpy(dtype=bool)
    period = pd.to_datetime(ratings["period"]).dt.strftime("%Y%m").astype("int64")
    occasion = np.where(is_monthly, period, ratings["task_id"].to_numpy(dtype="int64"))
    takes_part = ~ratings["is_deleted"].to_numpy(dtype=bool) & (is_monthly | (occasion != 0))
    candidates = ratings.loc[takes_part, ["process_key", "rating_id", "rater_id", "ratee_id"]].assign(
        occasion=occasion[takes_part]
    )
    ordered = candidates.sort_values("rating_id", kind="stable")
    repeated = ordered.duplicated(["process_key", "rater_id", "ratee_id", "occasion"], keep="first")
    flags = np.zeros(len(ratings), dtype=bool)
    flags[takes_part] = repeated.reindex(candidates.index).to_numpy(dtype=bool)
    return flags


def check(
    ratings: pd.DataFrame,
    terms: Mapping[str, ProcessTerms],
    organisation: Organisation,
    freeze_day: int,
    shadowed: pd.MultiIndex | None = None,
    *,
    count_unexplained: bool = False,
) -> pd.DataFrame:
    """Gives every rating its departments, what its comment is worth, its reasons and its exclusion code.

    Args:
        ratings: columns of the vault dataset `raw`, all periods together, a plain unique index.
        terms: by process key.
        organisation: people and departments; a rating belongs to those of the day it was made.
        freeze_day: day of the next month on which a month is closed.
        shadowed: (process_key, rating_id) of duplicates whose first rating was destroyed with its month.
        count_unexplained: whether a lowered score counts although its comment is a violation.

    Returns:
        The rows with rater_department_id, ratee_department_id, comment_level, comment_rules (codes by commas),
        ruleset_version, reason_codes (by commas), reason_source, exclusion_code and is_counted added.
    """
    rater_department = organisation.departments_of(ratings["rater_id"], ratings["rated_on"])
    ratee_department = organisation.departments_of(ratings["ratee_id"], ratings["rated_on"])
    score = ratings["score"].astype("float64")
    threshold = ratings["process_key"].map({key: term.comment_required_below for key, term in terms.items()})
    is_low = (score < threshold.astype("float64")).to_numpy(dtype=bool)
    levels, rules, named = _judge_comments(ratings, is_low)
    tags = reasons.tag_all(named, ratings["reason"], is_low)

    rater, ratee = ratings["rater_id"].to_numpy(), ratings["ratee_id"].to_numpy()
    known = organisation.known_people
    conditions = {
        "no_score": ratings["score_problem"].eq("no_score"),
        "score_range": ratings["score_problem"].eq("score_range"),
        "no_rater": rater == 0,
        "no_ratee": ratee == 0,
        "unknown_rater": ~np.isin(rater, known),
        "unknown_ratee": ~np.isin(ratee, known),
        "self_rating": rater == ratee,
        "duplicate_rating": find_duplicates(ratings, terms) | _is_shadowed(ratings, shadowed),
        "wrong_direction": _wrong_direction(ratings, terms, organisation, rater_department, ratee_department),
        "out_of_window": _out_of_window(ratings, terms, freeze_day),
        "stage_not_counted": _stage_not_counted(ratings, terms),
        "deleted": ratings["is_deleted"],
        "unexplained": is_low & (levels == comments.VIOLATION) & (not count_unexplained),
    }
    code = np.select(
        [np.asarray(conditions[name], dtype=bool) for name in EXCLUSION_CODES], EXCLUSION_CODES, default=""
    )
    return ratings.assign(
        rater_department_id=rater_department,
        ratee_department_id=ratee_department,
        comment_level=levels,
        comment_rules=rules,
        ruleset_version=comments.RULESET_VERSION,
        reason_codes=tags["codes"],
        reason_source=tags["source"],
        exclusion_code=code,
        is_counted=code == "",
    )


def _judge_comments(
    ratings: pd.DataFrame, is_low: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_], pd.Series[str]]:
    """Level, codes and reasons of every comment; what a rater pastes everywhere is weak, however good it reads."""
    verdicts = comments.judge_all(ratings["comment"], is_low, ratings["task_title"])
    levels, codes = (verdicts[name].to_numpy(dtype=object).copy() for name in ("level", "codes"))
    living = ~ratings["is_deleted"].to_numpy(dtype=bool)
    pasted = np.zeros(len(ratings), dtype=bool)
    pasted[living] = comments.copy_pasted(ratings[living], is_low[living])
    # A dash is a dash each time: only what says something can be said too often.
    pasted &= levels != comments.VIOLATION
    levels[pasted] = comments.WEAK
    codes[pasted] = [f"{code},{COPY_PASTE}".lstrip(",") for code in codes[pasted]]
    return levels, codes, verdicts["reasons"]


def copies_among(ratings: pd.DataFrame) -> pd.DataFrame:
    """Takes the verdict `copy_paste` back where these ratings alone do not show the copies.

    A reader who sees one rating called a copy, and no other like it, would learn what its rater wrote in ratings that
    are hidden from him.

    Args:
        ratings: checked ratings that one circle of readers sees; columns rater_id, ratee_id, rated_on, comment,
            is_deleted, comment_level, comment_rules, reason_codes.

    Returns:
        The rows with comment_level and comment_rules as these ratings justify them.
    """
    found = [codes.split(",") for codes in ratings["comment_rules"]]
    pasted = np.array([COPY_PASTE in codes for codes in found], dtype=bool)
    takes_part = ~ratings["is_deleted"].to_numpy(dtype=bool)
    is_low = ratings["reason_codes"].ne("").to_numpy(dtype=bool)
    pasted[takes_part] &= ~comments.copy_pasted(ratings[takes_part], is_low[takes_part])
    levels, rules = (ratings[name].to_numpy(dtype=object).copy() for name in ("comment_level", "comment_rules"))
    for place in np.flatnonzero(pasted):
        codes = [code for code in found[place] if code != COPY_PASTE]
        is_weak = any(comments.RULES[code].severity == comments.WEAK for code in codes)
        levels[place], rules[place] = comments.WEAK if is_weak else comments.OK, ",".join(codes)
    return ratings.assign(comment_level=levels, comment_rules=rules)


def _is_shadowed(ratings: pd.DataFrame, shadowed: pd.MultiIndex | None) -> npt.NDArray[np.bool_]:
    if shadowed is None or shadowed.empty:
        return np.zeros(len(ratings), dtype=bool)
    known = pd.MultiIndex.from_frame(ratings[["process_key", "rating_id"]]).isin(shadowed)
    return np.asarray(known & ~ratings["is_deleted"].to_numpy(dtype=bool), dtype=bool)


def _wrong_direction(
    ratings: pd.DataFrame,
    terms: Mapping[str, ProcessTerms],
    organisation: Organisation,
    rater_department: pd.Series[int],
    ratee_department: pd.Series[int],
) -> npt.NDArray[np.bool_]:
    """The setter rated the executor: seen from the linked task, or from departments that are swapped."""
    ratee, day = ratings["ratee_id"], ratings["rated_on"]
    by_task = (ratings["task_executor_id"].eq(ratee) & ratings["task_setter_id"].ne(ratee) & ratee.ne(0)).to_numpy(bool)
    by_department = np.zeros(len(ratings), dtype=bool)
    for key, term in terms.items():
        if not (term.setter_departments and term.executor_departments):
            continue
        rows = ratings["process_key"].eq(key).to_numpy(dtype=bool)
        sides = (term.setter_departments, term.executor_departments)
        rater_sets, rater_executes = (organisation.within(rater_department, day, tops) for tops in sides)
        ratee_sets, ratee_executes = (organisation.within(ratee_department, day, tops) for tops in sides)
        by_department |= rows & rater_sets & ratee_executes & ~(rater_executes & ratee_sets)
    return np.asarray(by_task | by_department, dtype=bool)


def _out_of_window(ratings: pd.DataFrame, terms: Mapping[str, ProcessTerms], freeze_day: int) -> npt.NDArray[np.bool_]:
    """A month named in the form that was closed when the rating was made, or cannot be."""
    is_monthly = ratings["process_key"].map({key: term.is_monthly for key, term in terms.items()}).to_numpy(dtype=bool)
    frozen_on = {period: freeze_date(period, freeze_day) for period in ratings["period"].unique()}
    created = pd.to_datetime(ratings["rated_on"])
    late = (created >= pd.to_datetime(ratings["period"].map(frozen_on))).to_numpy(dtype=bool)
    return np.asarray(is_monthly & (late | ratings["is_period_invalid"].to_numpy(dtype=bool)), dtype=bool)


def _stage_not_counted(ratings: pd.DataFrame, terms: Mapping[str, ProcessTerms]) -> npt.NDArray[np.bool_]:
    excluded = ratings["is_failure_stage"].to_numpy(dtype=bool).copy()
    for key, term in terms.items():
        if term.counted_stages is not None:
            rows = ratings["process_key"].eq(key).to_numpy(dtype=bool)
            counted = ratings["stage_id"].isin(list(term.counted_stages)).to_numpy(dtype=bool)
            excluded[rows] = ~counted[rows]
    return excluded
