"""What happened to ratings between two readings: created, edited, deleted, restored.

Belongs here: comparing ratings with the log of what was observed before. Does not belong here: keeping the log
(`assets/crm.py`), whose events may leave the vault (`assets/release.py`).

A rating is compared with the state its last logged event left it in, not with the last snapshot: a run that is killed
between writing the log and writing the snapshot observes nothing twice. Several edits between two readings are one
event: the portal keeps no history of field values.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assets.rules.policy import NAMED_MODES
from assets.rules.structure import freeze_date

IDENTITY = ("process_key", "rating_id")
ROLES = {
    "score": "score",
    "comment": "comment_hash",
    "reason": "reason_hash",
    "rater": "rater_id",
    "ratee": "ratee_id",
    "task": "task_id",
    "period": "period",
    "stage": "stage_id",
}
"""What an edit can change, and the column of the log that shows it."""
EVENT_COLUMNS = (
    *IDENTITY,
    "number",
    "event",
    "observed_on",
    "changed_at",
    "is_after_freeze",
    "changed",
    "rated_on",
    "old_score",
    *ROLES.values(),
)


def observe(log: pd.DataFrame, ratings: pd.DataFrame, now: datetime, freeze_day: int) -> pd.DataFrame:
    """Finds what happened to ratings since they were last observed.

    Args:
        log: all events so far, `EVENT_COLUMNS`.
        ratings: ratings read now, deleted ones as last seen and marked; columns of the vault dataset `raw`.
        now: the portal's clock, in the portal's time zone.
        freeze_day: day of the next month on which a month is closed.

    Returns:
        New events, `EVENT_COLUMNS`: state columns as the event left them; `changed` names roles, comma-separated;
        `changed_at` is the moment the portal gives (UTC), missing for deletions and restorations, which it does not
        date; `is_after_freeze` compares that moment, or else `now`, with the freeze of the event's period.
    """
    last = log.sort_values("number").drop_duplicates(list(IDENTITY), keep="last")
    state = ratings.assign(
        comment_hash=_hashes(ratings["comment"]), reason_hash=_hashes(ratings["reason"]), score=_score(ratings["score"])
    )
    pair = state.merge(last, on=list(IDENTITY), how="left", suffixes=("", "_before"), indicator=True)
    is_known = pair["_merge"].eq("both").to_numpy(dtype=bool)
    was_deleted = pair["event"].eq("delete").to_numpy(dtype=bool)
    is_deleted = pair["is_deleted"].to_numpy(dtype=bool)
    differs = {}
    for role, column in ROLES.items():
        now_value, before = pair[column], pair[f"{column}_before"]
        differs[role] = ~(now_value.eq(before) | (now_value.isna() & before.isna())).to_numpy(dtype=bool)
    is_changed = np.logical_or.reduce(list(differs.values()))
    kinds = {
        "create": ~is_known & ~is_deleted,
        "delete": is_known & ~was_deleted & is_deleted,
        "restore": is_known & was_deleted & ~is_deleted,
        "edit": is_known & ~was_deleted & ~is_deleted & is_changed,
    }
    event = np.select(list(kinds.values()), list(kinds), default="")
    is_edit, is_dated = event == "edit", np.isin(event, ["create", "edit"])
    moment = pair["updated_at"].where(is_edit, pair["created_at"]).where(is_dated)
    day = moment.dt.tz_convert(now.tzinfo).dt.date.where(is_dated, now.date())
    frozen_on = {period: freeze_date(period, freeze_day) for period in pair["period"].unique()}
    events = pair.assign(
        event=event,
        number=np.where(is_known, pair["number"].fillna(0).to_numpy(dtype="int64") + 1, 0),
        observed_on=now.date(),
        changed_at=moment,
        is_after_freeze=[on >= frozen_on[period] for on, period in zip(day, pair["period"], strict=True)],
        changed=_names({role: flags & is_edit for role, flags in differs.items()}),
        old_score=_score(pair["score_before"]).where(is_known),
    )
    happened: pd.DataFrame = events.loc[event != "", list(EVENT_COLUMNS)].reset_index(drop=True)
    return happened


def publishable(events: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """Keeps the events that may stand by name.

    Args:
        events: the log with `mode` of the people it names: an edit can change the people, and what happened while
            somebody else was rater or ratee was said under a promise of its own.
        ratings: rows that leave the vault by name now; columns process_key, rating_id.

    Returns:
        Events of these ratings whose own mode is named. One that follows an event with another mode shows no old score.
    """
    named = events["mode"].isin(list(NAMED_MODES))
    ordered = events.assign(is_named=named).sort_values([*IDENTITY, "number"], ignore_index=True)
    before = ordered.groupby(list(IDENTITY))["is_named"].shift(fill_value=True).to_numpy(dtype=bool)
    shown = ordered.assign(old_score=ordered["old_score"].where(before))
    released = pd.MultiIndex.from_frame(shown[list(IDENTITY)]).isin(pd.MultiIndex.from_frame(ratings[list(IDENTITY)]))
    kept: pd.DataFrame = shown[shown["is_named"].to_numpy(dtype=bool) & released].drop(columns="is_named")
    return kept


def _hashes(texts: pd.Series[str]) -> npt.NDArray[np.int64]:
    """64-bit hashes: the log need not repeat every comment to see that it changed."""
    return pd.util.hash_array(texts.to_numpy(dtype=object)).view("int64")


def _score(scores: pd.Series[Any]) -> pd.Series[float]:
    return pd.to_numeric(scores, errors="coerce").astype("float64")


def _names(flags: dict[str, npt.NDArray[np.bool_]]) -> list[str]:
    """Names of the raised flags of each row, comma-separated; each combination is written once."""
    rows = pd.DataFrame(flags)
    combinations = {
        values: ",".join(name for name, value in zip(rows.columns, values, strict=True) if value)
        for values in set(rows.itertuples(index=False, name=None))
    }
    return [combinations[values] for values in rows.itertuples(index=False, name=None)]
