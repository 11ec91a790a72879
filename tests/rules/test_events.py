"""What happened to ratings between two readings is told once, whole, and of nobody who was promised silence."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.events import EVENT_COLUMNS, observe, publishable

ZONE = ZoneInfo("Europe/Moscow")
PERIOD = date(2026, 3, 1)
BEFORE_FREEZE = datetime(2026, 4, 7, 23, 59, tzinfo=ZONE)
AFTER_FREEZE = datetime(2026, 4, 8, 0, 0, tzinfo=ZONE)


def nothing() -> pd.DataFrame:
    return pd.DataFrame({column: pd.Series(dtype=object) for column in EVENT_COLUMNS})


def rating(**changes: Any) -> dict[str, Any]:
    return {
        "process_key": "production",
        "rating_id": 7,
        "period": PERIOD,
        "created_at": pd.Timestamp("2026-03-20T10:00:00Z"),
        "updated_at": pd.Timestamp("2026-03-20T10:00:00Z"),
        "rated_on": date(2026, 3, 20),
        "score": 4,
        "comment": "поздно",
        "reason": "",
        "rater_id": 31,
        "ratee_id": 22,
        "task_id": 5,
        "stage_id": "SUCCESS",
        "is_deleted": False,
    } | changes


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(rating()))


def watch(*readings: tuple[datetime, list[dict[str, Any]]]) -> pd.DataFrame:
    """The log after several readings; empty frames have lost their types, as those of the vault have not."""
    log = nothing()
    for now, rows in readings:
        fresh = observe(log, frame(*rows), now, 8)
        log = fresh if log.empty else pd.concat([log, fresh], ignore_index=True)
    return log


def told(log: pd.DataFrame) -> list[tuple[Any, ...]]:
    scores = log["old_score"].astype(object).where(log["old_score"].notna(), None)
    return list(zip(log["event"], scores, log["changed"], strict=True))


def test_a_rating_seen_first_is_created_and_seen_again_unchanged_tells_nothing() -> None:
    log = watch((BEFORE_FREEZE, [rating()]), (AFTER_FREEZE, [rating(updated_at=pd.Timestamp("2026-04-09T10:00:00Z"))]))
    assert told(log) == [("create", None, "")]
    assert log["changed_at"].iloc[0] == pd.Timestamp("2026-03-20T10:00:00Z")


@pytest.mark.parametrize(
    ("change", "role"),
    [
        ({"score": 5}, "score"),
        ({"score": None}, "score"),
        ({"comment": "вовремя"}, "comment"),
        ({"reason": "Сроки"}, "reason"),
        ({"rater_id": 32}, "rater"),
        ({"ratee_id": 23}, "ratee"),
        ({"task_id": 6}, "task"),
        ({"period": date(2026, 2, 1)}, "period"),
        ({"stage_id": "FAIL"}, "stage"),
    ],
)
def test_an_edit_names_what_changed_and_the_score_before(change: dict[str, Any], role: str) -> None:
    log = watch((BEFORE_FREEZE, [rating()]), (AFTER_FREEZE, [rating(**change)]))
    assert told(log) == [("create", None, ""), ("edit", 4, role)]


def test_deleting_and_restoring_are_told_once_each() -> None:
    gone = rating(is_deleted=True)
    log = watch(*((BEFORE_FREEZE, [row]) for row in (rating(), gone, gone, rating(score=2), rating(score=2))))
    assert told(log) == [("create", None, ""), ("delete", 4, ""), ("restore", 4, "")]


def test_a_rating_that_was_never_seen_alive_has_no_history() -> None:
    assert watch((BEFORE_FREEZE, [rating(is_deleted=True)])).empty


@pytest.mark.parametrize(
    ("moment", "is_after"), [("2026-04-07T20:59:59Z", False), ("2026-04-07T21:00:00Z", True)], ids=["before", "after"]
)
def test_an_edit_is_after_the_freeze_by_its_own_moment_in_portal_time(moment: str, is_after: bool) -> None:
    edited = rating(score=5, updated_at=pd.Timestamp(moment))
    log = watch((BEFORE_FREEZE, [rating()]), (datetime(2026, 5, 1, tzinfo=ZONE), [edited]))
    assert log["is_after_freeze"].tolist() == [False, is_after]


def test_a_deletion_has_no_moment_but_that_of_the_run() -> None:
    for now, is_after in ((BEFORE_FREEZE, False), (AFTER_FREEZE, True)):
        log = watch((BEFORE_FREEZE, [rating()]), (now, [rating(is_deleted=True)]))
        assert bool(log["is_after_freeze"].iloc[-1]) is is_after
        assert pd.isna(log["changed_at"].iloc[-1])


def test_observing_the_same_reading_twice_tells_nothing_new() -> None:
    rows = [rating(), rating(rating_id=8, score=None), rating(rating_id=9, is_deleted=True)]
    log = watch((BEFORE_FREEZE, rows))
    assert observe(log, frame(*rows), BEFORE_FREEZE, 8).empty


changes = st.sampled_from([{}, {"score": 5}, {"comment": "иначе"}, {"is_deleted": True}, {"rater_id": 9}])


@settings(max_examples=20, deadline=None)
@given(st.lists(changes, min_size=1, max_size=8))
def test_the_log_alternates_and_ends_where_the_rating_stands(steps: list[dict[str, Any]]) -> None:
    log = watch(*((BEFORE_FREEZE, [rating(**step)]) for step in steps))
    if log.empty:
        assert all(step == {"is_deleted": True} for step in steps)
        return
    assert log["number"].tolist() == list(range(len(log)))
    kinds = log["event"].tolist()
    assert kinds[0] == "create"
    for before, after in pairwise(kinds):
        assert after != "create"
        assert (after == "restore") == (before == "delete")
    assert (kinds[-1] == "delete") == bool(steps[-1].get("is_deleted", False))


def test_only_events_of_released_ratings_in_a_named_mode_of_their_own_leave() -> None:
    log = watch(
        (BEFORE_FREEZE, [rating(rater_id=40), rating(rating_id=8)]),
        (BEFORE_FREEZE, [rating(rater_id=31), rating(rating_id=8, score=1)]),
        (BEFORE_FREEZE, [rating(rater_id=31, score=2), rating(rating_id=8, score=1)]),
    )
    log = log.assign(mode=["aggregate" if rater == 40 else "open" for rater in log["rater_id"]])
    shown = publishable(log, frame(rating(score=2)))
    assert set(shown["rating_id"]) == {7}, "a rating that is not released tells nothing"
    assert told(shown) == [("edit", None, "rater"), ("edit", 4, "score")], "the score a hidden rater gave is not told"
