"""Deletion rules: what is missing from the portal's list, and when that is too much to believe."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.deletions import MassDeletionError, missing, refuse_lost_tasks, refuse_mass_deletion

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)


def known(*rows: tuple[str, int, bool]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=["process_key", "rating_id", "is_deleted"])
    return frame.astype({"process_key": "str", "rating_id": "int64", "is_deleted": "bool"})


def fresh(*rows: tuple[str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=["process_key", "rating_id"])
    return frame.astype({"process_key": "str", "rating_id": "int64"})


identities = st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 6))


@settings(deadline=None)
@given(st.dictionaries(identities, st.booleans()), st.sets(identities))
def test_missing_is_every_live_rating_that_the_list_does_not_show(
    before: dict[tuple[str, int], bool], now: set[tuple[str, int]]
) -> None:
    absent = missing(known(*((*key, deleted) for key, deleted in before.items())), fresh(*now))
    found = list(zip(absent["process_key"], absent["rating_id"], strict=True))
    assert found == [key for key, deleted in before.items() if not deleted and key not in now]


def test_the_same_id_in_another_process_is_another_rating() -> None:
    assert len(missing(known(("a", 1, False)), fresh(("b", 1)))) == 1


def test_rows_missing_keep_their_index() -> None:
    assert missing(known(("a", 1, False), ("a", 2, False)), fresh(("a", 1))).index.tolist() == [1]


@pytest.mark.parametrize(("before", "gone"), [(50, 10), (9, 9), (1000, 200), (10, 0), (0, 0), (46, 9)])
def test_few_deletions_are_believed(before: int, gone: int) -> None:
    refuse_mass_deletion({MARCH: before}, {MARCH: gone})


@pytest.mark.parametrize(("before", "gone"), [(49, 10), (10, 10), (1000, 201)])
def test_too_many_deletions_are_refused(before: int, gone: int) -> None:
    with pytest.raises(MassDeletionError) as refusal:
        refuse_mass_deletion({MARCH: before}, {MARCH: gone})
    assert f"2026-03: {gone} of {before}" in str(refusal.value)
    assert "--accept-deletions" in str(refusal.value)


def test_every_doubtful_month_is_named_and_no_other() -> None:
    before = Counter({APRIL: 40, MARCH: 30, date(2026, 5, 1): 1000})
    with pytest.raises(MassDeletionError) as refusal:
        refuse_mass_deletion(before, Counter({APRIL: 20, MARCH: 30, date(2026, 5, 1): 20}))
    assert "2026-03: 30 of 30; 2026-04: 20 of 40" in str(refusal.value)
    assert "2026-05" not in str(refusal.value)


def test_months_are_judged_one_by_one() -> None:
    refuse_mass_deletion({MARCH: 1000, APRIL: 1000}, {MARCH: 150, APRIL: 150})


@pytest.mark.parametrize(("known_tasks", "gone"), [(50, 10), (10, 9), (2, 2), (1, 1), (1000, 200), (10, 0), (0, 0)])
def test_few_tasks_that_vanish_are_believed(known_tasks: int, gone: int) -> None:
    refuse_lost_tasks({11: known_tasks}, {11: gone})


@pytest.mark.parametrize(("known_tasks", "gone"), [(49, 10), (10, 10), (1000, 201), (3, 3), (9, 9)])
def test_too_many_tasks_that_vanish_are_refused(known_tasks: int, gone: int) -> None:
    with pytest.raises(MassDeletionError, match=rf"\(workgroup 11: {gone} of {known_tasks}\).*--accept-deletions"):
        refuse_lost_tasks({11: known_tasks}, {11: gone})


def test_workgroups_are_judged_one_by_one() -> None:
    with pytest.raises(MassDeletionError, match=r"\(workgroup 12: 48 of 48; workgroup 19: 10 of 40\)"):
        refuse_lost_tasks({11: 245, 12: 48, 13: 9, 19: 40}, {11: 30, 12: 48, 13: 8, 19: 10})
    refuse_lost_tasks({11: 60, 12: 60}, {11: 12, 12: 12})
