"""Deciding hidden windows: once each, in the same way whenever it happens, and withdrawn when the policy tightens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.disclosure import PROFILES
from assets.rules.hidden import (
    BLOCK,
    COMMENT,
    KEY_DESTROYED,
    REASON,
    ROWS,
    SCHEMAS,
    SCORE,
    Decision,
    HiddenState,
    ReleaseTerms,
    decide,
    finished,
    viewers,
    withdraw,
)

TODAY = date(2026, 5, 10)
MONTHS = [date(2026, month, 1) for month in (1, 2, 3, 4)]
PROCESSES = ("back", "front")
CLOSED = {process: set(MONTHS) for process in PROCESSES}
WORDS = ("поздно", "неполно", "срочно", "коротко", "путано", "дважды", "устно", "молча")


class Told:
    """A redacted comment."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.needs_review = False


class PlainRedactor:
    """Redacts nothing: these comments hold nobody."""

    def redact_all(self, texts: Sequence[str]) -> list[Told]:
        return [Told(text) for text in texts]

    def leaks(self, text: str) -> bool:
        return False


def company(
    seed: int,
    modes: Sequence[str] = ("aggregate",),
    raters: int = 14,
    ratees: int = 3,
    months: Sequence[date] = tuple(MONTHS),
) -> pd.DataFrame:
    """Ratings of two departments by one, in two processes."""
    random = Random(seed)
    rows: list[dict[str, Any]] = []
    for process in PROCESSES:
        for month in months:
            for rater in range(1, raters + 1):
                for ratee in random.sample(range(101, 101 + ratees), random.choice((1, 1, 2))):
                    score = random.choice((5, 5, 4, 3, 2))
                    number = len(rows) + 1
                    rows.append(
                        {
                            "process_key": process,
                            "rating_id": number,
                            "period": month,
                            "rated_on": month,
                            "ratee_id": ratee,
                            "rater_id": rater,
                            "rater_department_id": 7,
                            "ratee_department_id": 8 + ratee % 2,
                            "score": score,
                            "comment": f"{random.choice(WORDS)} и {random.choice(WORDS)} {number}" if score < 5 else "",
                            "comment_level": "ok",
                            "comment_rules": random.choice(("", "single_word")) if score < 5 else "",
                            "reason_codes": random.choice(("brief", "deadline")) if score < 5 else "",
                            "exclusion_code": "",
                            "is_counted": True,
                            "mode": random.choice(modes),
                            "was_open": False,
                            "was_named": False,
                            "is_viewer": False,
                        }
                    )
    return pd.DataFrame(rows)


def expected_of(ratings: pd.DataFrame) -> pd.DataFrame:
    return ratings.assign(status=["missed" if number % 5 == 0 else "fulfilled" for number in ratings["rating_id"]])


def terms(**changed: Any) -> ReleaseTerms:
    given_terms = ReleaseTerms(
        profile_name="default",
        profile=PROFILES["default"],
        seal=b"\x07" * 32,
        policy_version="p",
        today=TODAY,
        departments={7: "Производство", 8: "Продажи", 9: "Клиенты"},
        pseudonym_key=lambda month: bytes([month.month]) * 32,
        redactor=PlainRedactor,
    )
    return replace(given_terms, **changed)


def decided(
    ratings: pd.DataFrame,
    state: HiddenState | None = None,
    closed: Mapping[str, set[date]] = CLOSED,
    **changed: Any,
) -> Decision:
    return decide(ratings, expected_of(ratings), state or HiddenState.empty(), closed, terms(**changed))


@cache
def _known(modes: tuple[str, ...]) -> tuple[pd.DataFrame, HiddenState]:
    ratings = company(1, modes)
    return ratings, decided(ratings).state


def known(*modes: str) -> tuple[pd.DataFrame, HiddenState]:
    """A company and what was released of it; decided once, as it takes a second."""
    ratings, state = _known(modes)
    return ratings.copy(), state


def content(state: HiddenState) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of every part, in an order of their own."""
    return {
        name: sorted(getattr(state, name)[schema.names].astype("str").itertuples(index=False, name=None))
        for name, schema in SCHEMAS.items()
    }


ALL_HIDDEN = ("named_to_hr", "pseudonymous", "aggregate", "department_only")


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from((("aggregate",), ("pseudonymous",), ALL_HIDDEN)))
def test_deciding_month_by_month_is_deciding_in_one_go(seed: int, modes: tuple[str, ...]) -> None:
    ratings = company(seed, modes)
    at_once = decided(ratings).state
    state = HiddenState.empty()
    for count in range(1, len(MONTHS) + 1):
        state = decided(ratings, state, {process: set(MONTHS[:count]) for process in PROCESSES}).state
    assert content(state) == content(at_once)


def test_a_company_of_enough_people_has_rows_in_every_cut() -> None:
    (_, numbers), (_, cells) = known("aggregate"), known("pseudonymous")
    for name in set(SCHEMAS) - {"bands"}:
        assert len(getattr(cells if name == "rows" else numbers, name)), f"nothing was released as {name}"


def test_what_is_decided_never_changes_whatever_happens_to_its_ratings() -> None:
    ratings, before = known("pseudonymous")
    for changed in (
        ratings.assign(score=1),
        ratings.assign(is_counted=False, exclusion_code="deleted"),
        pd.concat([ratings, company(5).assign(rating_id=lambda rows: rows["rating_id"] + 10_000)], ignore_index=True),
        ratings.iloc[:0],
    ):
        assert content(decided(changed, before).state) == content(before)


def test_a_window_without_rows_is_decided_too_so_that_nothing_appears_in_it_later() -> None:
    few = company(6, raters=2)
    before = decided(few).state
    assert before.blocks.empty
    assert len(before.windows)
    many = pd.concat([few, company(7).assign(rating_id=lambda rows: rows["rating_id"] + 10_000)], ignore_index=True)
    assert content(decided(many, before).state) == content(before)


def test_ratings_that_were_open_once_hide_nobody() -> None:
    state = decided(company(8).assign(was_open=True)).state
    for name in ("blocks", "pairs", "reasons", "comments", "rows"):
        assert getattr(state, name).empty, name


def test_a_month_that_is_not_frozen_enters_nothing() -> None:
    state = decided(company(9), closed={process: set(MONTHS[:3]) for process in PROCESSES}).state
    assert len(state.blocks)
    assert max(state.register["period"]) == MONTHS[2]
    assert max(state.members["period"]) == MONTHS[2]


def test_profile_strict_publishes_no_comment() -> None:
    assert decided(company(10), profile_name="strict", profile=PROFILES["strict"]).state.comments.empty
    assert len(known("aggregate")[1].comments)


def test_the_redactor_is_asked_for_only_when_a_pool_is_decided() -> None:
    asked: list[int] = []

    def redactor() -> PlainRedactor:
        asked.append(1)
        return PlainRedactor()

    ratings = company(11)
    state = decided(ratings, closed={process: set(MONTHS[:2]) for process in PROCESSES}, redactor=redactor).state
    assert not asked
    state = decided(ratings, state, redactor=redactor).state
    assert asked
    asked.clear()
    decided(ratings, state, redactor=redactor)
    assert not asked


def test_a_month_whose_pseudonym_key_is_destroyed_gets_no_rows_and_the_others_do() -> None:
    ratings = company(12, ("pseudonymous",))
    found = decided(ratings, pseudonym_key=lambda month: None if month == MONTHS[1] else b"k" * 32)
    assert set(found.state.rows["period"]) == set(MONTHS) - {MONTHS[1]}
    assert found.held["back"][KEY_DESTROYED] == len(
        ratings[ratings["process_key"].eq("back") & ratings["period"].eq(MONTHS[1])]
    )


def test_a_pseudonym_is_never_the_raters_id_and_changes_every_month() -> None:
    rows = known("pseudonymous")[1].rows
    assert rows["pseudonym"].str.fullmatch("[0-9a-f]{32}").all()
    assert (rows.groupby("pseudonym")["period"].nunique() == 1).all()


# --- withdrawing --------------------------------------------------------------------------------------------------


def test_tightening_withdraws_the_block_of_the_rating_and_leaves_pairs_and_other_blocks() -> None:
    ratings, state = known("aggregate")
    victim = state.register[state.register["cut"].eq(BLOCK)].iloc[0]
    ratings.loc[ratings["rating_id"].eq(victim["rating_id"]), "mode"] = "department_only"
    after, counts = withdraw(state, ratings, expected_of(ratings), TODAY)
    gone = after.blocks[after.blocks["withdrawn_at"].notna()]
    assert list(gone["release_id"]) == [victim["release_id"]]
    assert set(gone["withdrawn_at"]) == {TODAY}
    assert counts[BLOCK] == 1
    assert after.pairs["withdrawn_at"].isna().all()
    again, counts = withdraw(after, ratings, expected_of(ratings), date(2026, 6, 1))
    assert not counts
    assert content(again) == content(after)
    assert content(decided(ratings, after).state) == content(after), "a withdrawn row was written again"


@pytest.mark.parametrize(
    ("mode", "cut", "name"),
    [("department_only", COMMENT, "comments"), ("department_only", REASON, "reasons"), ("aggregate", ROWS, "rows")],
)
def test_tightening_withdraws_comments_shares_and_pseudonymous_cells_whole(mode: str, cut: str, name: str) -> None:
    ratings, state = known("pseudonymous")
    victim = state.members[state.members["cut"].eq(cut)].iloc[0]
    ratings.loc[ratings["rating_id"].eq(victim["rating_id"]), "mode"] = mode
    after, counts = withdraw(state, ratings, expected_of(ratings), TODAY)
    frame = getattr(after, name)
    of_release = frame["release_id"].eq(victim["release_id"])
    assert counts[cut] == of_release.sum() > 1
    assert frame.loc[of_release, "withdrawn_at"].notna().all()
    assert frame.loc[~of_release, "withdrawn_at"].isna().all()


def test_another_mode_that_numbers_may_hold_withdraws_nothing() -> None:
    ratings, state = known("aggregate")
    assert len(state.blocks)
    after, counts = withdraw(state, ratings.assign(mode="named_to_hr"), expected_of(ratings), TODAY)
    assert not counts
    assert content(after) == content(state)


def test_coverage_is_withdrawn_when_all_its_expected_ratings_are_hidden_from_it() -> None:
    ratings, state = known("aggregate")
    expected = expected_of(ratings)
    is_first = expected["process_key"].eq("back") & expected["period"].eq(MONTHS[0])
    after, _ = withdraw(state, ratings, expected.assign(mode=expected["mode"].mask(is_first, "department_only")), TODAY)
    gone = after.coverage[after.coverage["withdrawn_at"].notna()]
    assert set(zip(gone["process_key"], gone["period_from"], strict=True)) == {("back", MONTHS[0])}
    assert after.coverage["withdrawn_at"].isna().any()


# --- bands of half-years ----------------------------------------------------------------------------------------------

HALF_YEAR = [date(2026, month, 1) for month in range(1, 7)]
ALL_CLOSED = {process: set(HALF_YEAR) for process in PROCESSES}


@cache
def _half_year(modes: tuple[str, ...]) -> tuple[pd.DataFrame, HiddenState]:
    ratings = company(21, modes, raters=7, ratees=6, months=HALF_YEAR)
    return ratings, decided(ratings, closed=ALL_CLOSED).state


def half_year(*modes: str) -> tuple[pd.DataFrame, HiddenState]:
    """Six closed months of a small company and what was released of them; decided once."""
    ratings, state = _half_year(modes)
    return ratings.copy(), state


def test_a_half_year_is_told_once_when_all_its_months_are_closed_in_every_process() -> None:
    ratings, state = half_year("aggregate", "pseudonymous")
    assert sorted(state.bands["ratee_id"]) == sorted(ratings["ratee_id"].unique())
    assert set(zip(state.bands["window_from"], state.bands["window_to"], strict=True)) == {
        (HALF_YEAR[0], HALF_YEAR[-1])
    }
    late = company(22, raters=7, ratees=9, months=HALF_YEAR).assign(rating_id=lambda rows: rows["rating_id"] + 10_000)
    for changed in (ratings.assign(score=1), pd.concat([ratings, late], ignore_index=True), ratings.iloc[:0]):
        assert content(decided(changed, state, ALL_CLOSED).state) == content(state)
    early = decided(ratings, closed={"back": set(HALF_YEAR), "front": set(HALF_YEAR[:5])}).state
    assert early.bands.empty
    assert decided(ratings, early, ALL_CLOSED).state.bands["band"].tolist() == state.bands["band"].tolist()


def test_ratings_that_hr_reads_or_ever_read_by_name_are_in_no_band() -> None:
    ratings, state = half_year("aggregate")
    people = ratings["rater_id"].le(4)
    named = decided(ratings.assign(mode=ratings["mode"].mask(people, "named_to_hr")), closed=ALL_CLOSED).state
    remembered = decided(ratings.assign(was_named=people), closed=ALL_CLOSED).state
    opened = decided(ratings.assign(was_open=people), closed=ALL_CLOSED).state
    # Three raters are left, fewer than k.
    for found in (named, remembered, opened):
        assert found.bands.empty
        assert not found.members["cut"].eq(SCORE).any()
    assert len(state.bands)


def test_tightening_withdraws_the_band_of_the_ratee_and_no_other() -> None:
    ratings, state = half_year("aggregate")
    victim = ratings.iloc[0]
    ratings.loc[ratings.index[0], "mode"] = "department_only"
    after, counts = withdraw(state, ratings, expected_of(ratings), TODAY)
    assert counts[SCORE] == 1
    assert after.bands.loc[after.bands["withdrawn_at"].notna(), "ratee_id"].tolist() == [victim["ratee_id"]]
    assert content(decided(ratings, after, ALL_CLOSED).state) == content(after), "a withdrawn band was told again"
    _, counts = withdraw(state, ratings.assign(mode="pseudonymous"), expected_of(ratings), TODAY)
    assert SCORE not in counts


def test_a_half_year_with_a_destroyed_month_is_decided_without_bands() -> None:
    ratings, _ = half_year("aggregate")
    state = decided(ratings, closed=ALL_CLOSED, destroyed=frozenset(HALF_YEAR[:1])).state
    assert state.bands.empty
    assert content(decided(ratings, state, ALL_CLOSED).state) == content(state)


def test_bands_of_a_half_year_that_was_not_decided_are_decided_anew() -> None:
    ratings, whole = half_year("aggregate")
    left = finished(replace(whole, windows=whole.windows[whole.windows["cut"].ne(SCORE)]))
    assert left.bands.empty
    assert not left.members["cut"].eq(SCORE).any()
    assert content(decided(ratings, left, ALL_CLOSED).state) == content(whole)


# --- what a killed run leaves --------------------------------------------------------------------------------------


def test_what_belongs_to_no_decided_window_is_decided_anew() -> None:
    ratings, whole = known("aggregate")
    cut = replace(whole, windows=whole.windows[whole.windows["window_to"].lt(MONTHS[2])])
    left = finished(cut)
    assert len(left.blocks) < len(whole.blocks)
    assert set(left.register["release_id"]) <= {*left.blocks["release_id"], *left.pairs["release_id"]}
    assert content(decided(ratings, left).state) == content(whole)
    assert content(finished(whole)) == content(whole)


# --- viewers --------------------------------------------------------------------------------------------------------


def test_heads_of_the_ratees_department_and_of_those_above_it_are_viewers() -> None:
    departments = pd.DataFrame(
        [(1, 0, 50), (2, 1, 51), (3, 2, 0), (2, 1, 52)], columns=["department_id", "parent_id", "head_employee_id"]
    )
    ratings = pd.DataFrame(
        [(50, 3), (51, 3), (52, 3), (53, 3), (51, 1), (0, 3), (50, 0)], columns=["rater_id", "ratee_department_id"]
    )
    assert viewers(ratings, departments).tolist() == [True, True, True, False, False, False, False]
