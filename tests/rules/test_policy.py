"""Policy rules: which mode a rating gets, judged against a plain reading one rating at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import combinations, pairwise, product
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assets.rules.organisation import Organisation
from assets.rules.policy import DEFAULT_VERSION, MODES, Mode, PolicyBook, PolicyEntry, PolicyError, stricter

#     1
#    / \
#   2   3
#   |   |
#   4   5
PARENTS = {1: 0, 2: 1, 3: 1, 4: 2, 5: 3}
DAYS = (date(2025, 1, 1), date(2025, 6, 15), date(2026, 1, 1), date(2026, 6, 1))
TODAY = date(2026, 1, 20)


def above(department: int) -> frozenset[int]:
    line = []
    while department:
        line.append(department)
        department = PARENTS[department]
    return frozenset(line)


COMPANY = Organisation.build({}, PARENTS)


def entry(mode: Mode = "open", valid_from: date = DAYS[0], **key: Any) -> PolicyEntry:
    return PolicyEntry(mode=mode, valid_from=valid_from, **key)


def ratings(*rows: tuple[str, int, int, date]) -> pd.DataFrame:
    columns = ["process_key", "rater_department_id", "ratee_department_id", "rated_on"]
    return pd.DataFrame(rows, columns=columns).astype({"rater_department_id": "int64", "ratee_department_id": "int64"})


def mode_of(
    *entries: PolicyEntry,
    process: str = "a",
    rater: int = 4,
    ratee: int = 5,
    rated_on: date = DAYS[2],
    today: date = TODAY,
) -> str:
    book = PolicyBook.build(entries)
    modes, _ = book.resolve(ratings((process, rater, ratee, rated_on)), COMPANY, today)
    return str(modes.iloc[0])


# --- the plain reading --------------------------------------------------------------------------------------------


class ContradictionError(Exception):
    """What the plain reading says of two lines that meet."""


def matches(line: PolicyEntry, process: str, rater: int, ratee: int, day: date) -> bool:
    return (
        line.valid_from <= day
        and line.process in ("*", process)
        and (line.rater_department == "*" or line.rater_department in above(rater))
        and (line.ratee_department == "*" or line.ratee_department in above(ratee))
    )


def stars(line: PolicyEntry) -> int:
    return [line.process, line.rater_department, line.ratee_department].count("*")


def plain_on(entries: Sequence[PolicyEntry], process: str, rater: int, ratee: int, day: date) -> tuple[str, str]:
    fitting = sorted((line for line in entries if matches(line, process, rater, ratee, day)), key=stars)
    best = [line for line in fitting if stars(line) == stars(fitting[0])]
    if len({line.key for line in best}) > 1:
        raise ContradictionError
    if not best:
        return "aggregate", DEFAULT_VERSION
    latest = max(best, key=lambda line: line.valid_from)
    return latest.mode, latest.version


def rank(mode: str) -> int:
    return ("open", "named_to_hr", "pseudonymous", "aggregate", "department_only").index(mode)


def plain(entries: Sequence[PolicyEntry], process: str, rater: int, ratee: int, day: date) -> tuple[str, str]:
    """A known pair of departments: the stricter of the rating's day and today; a tie is the rating's day."""
    then = plain_on(entries, process, rater, ratee, day)
    now = plain_on(entries, process, rater, ratee, TODAY)
    return now if rank(now[0]) > rank(then[0]) else then


def plain_meets(one: PolicyEntry, other: PolicyEntry) -> bool:
    """Whether two lines meet in a rating of a company where nobody is below anybody, as soon as both hold."""
    flat: list[Any] = sorted({part for line in (one, other) for part in line.key if part != "*"}, key=str)
    return any(
        all(line.process in ("*", process) for line in (one, other))
        and all(line.rater_department in ("*", rater) for line in (one, other))
        and all(line.ratee_department in ("*", ratee) for line in (one, other))
        for process, rater, ratee in product([*flat, "?"], repeat=3)
    )


def is_contradictory(entries: Sequence[PolicyEntry]) -> bool:
    return any(
        (one.key == other.key and one.valid_from == other.valid_from)
        or (one.key != other.key and stars(one) == stars(other) and plain_meets(one, other))
        for one, other in combinations(entries, 2)
    )


entries_of_a_policy = st.lists(
    st.builds(
        PolicyEntry,
        process=st.sampled_from(("*", "a", "b")),
        rater_department=st.sampled_from(("*", "*", 1, 2, 4)),
        ratee_department=st.sampled_from(("*", "*", 3, 5)),
        valid_from=st.sampled_from(DAYS),
        mode=st.sampled_from(MODES),
    ),
    max_size=5,
)

CASES = [
    (process, rater, ratee, day)
    for process in ("a", "b", "c")
    for rater in PARENTS
    for ratee in PARENTS
    for day in (date(2024, 12, 31), *(day for day in DAYS if day <= TODAY), TODAY)
]


@settings(deadline=None)
@given(entries_of_a_policy)
def test_a_policy_is_refused_exactly_when_two_lines_contradict(entries: list[PolicyEntry]) -> None:
    if is_contradictory(entries):
        with pytest.raises(PolicyError):
            PolicyBook.build(entries)
    else:
        assert PolicyBook.build(entries).entries == tuple(entries)


@settings(max_examples=40, deadline=None)
@given(entries_of_a_policy)
def test_modes_are_what_reading_rating_by_rating_finds(entries: list[PolicyEntry]) -> None:
    assume(not is_contradictory(entries))
    book = PolicyBook.build(entries)
    try:
        expected = [plain(entries, *case) for case in CASES]
    except ContradictionError:
        with pytest.raises(PolicyError):
            book.resolve(ratings(*CASES), COMPANY, TODAY)
        return
    modes, versions = book.resolve(ratings(*CASES), COMPANY, TODAY)
    assert list(zip(modes, versions, strict=True)) == expected


def resolved(entries: list[PolicyEntry], cases: Sequence[tuple[str, int, int, date]], today: date) -> list[str]:
    try:
        modes, _ = PolicyBook.build(entries).resolve(ratings(*cases), COMPANY, today)
    except PolicyError:
        assume(False)
    return [str(mode) for mode in modes]


@settings(max_examples=40, deadline=None)
@given(entries_of_a_policy, st.sampled_from([day for day in DAYS if day <= TODAY]))
@example([entry("open", DAYS[2])], DAYS[1])
def test_an_unknown_department_is_never_more_open_than_any_known_one(entries: list[PolicyEntry], day: date) -> None:
    known = [("a", rater, ratee, day) for rater in PARENTS for ratee in PARENTS]
    unknown = [("a", 0, 5, day), ("a", 4, 0, day), ("a", 0, 0, day)]
    strictest = max(map(rank, resolved(entries, known, TODAY)))
    assert all(rank(mode) >= strictest for mode in resolved(entries, unknown, TODAY))


@settings(max_examples=40, deadline=None)
@given(entries_of_a_policy, st.sampled_from([day for day in DAYS if day <= TODAY]))
@example([entry("open", DAYS[2])], DAYS[1])
def test_what_is_added_later_never_opens_the_past(entries: list[PolicyEntry], day: date) -> None:
    cases = [("a", rater, ratee, day) for rater in (0, *PARENTS) for ratee in (0, *PARENTS)]
    promised = resolved([line for line in entries if line.valid_from <= day], cases, day)
    today = resolved(entries, cases, TODAY)
    assert all(rank(now) >= rank(then) for now, then in zip(today, promised, strict=True))


@settings(max_examples=30, deadline=None)
@given(entries_of_a_policy, st.randoms(use_true_random=False))
def test_the_order_of_ratings_and_lines_changes_nothing(entries: list[PolicyEntry], chance: Any) -> None:
    rows = ratings(*CASES, ("a", 0, 5, DAYS[1]))
    try:
        modes, versions = PolicyBook.build(entries).resolve(rows, COMPANY, TODAY)
    except PolicyError:
        assume(False)
    mixed = rows.sample(frac=1, random_state=chance.randrange(10**6))
    other = PolicyBook.build(chance.sample(entries, len(entries)))
    mixed_modes, mixed_versions = other.resolve(mixed, COMPANY, TODAY)
    pd.testing.assert_series_equal(modes, mixed_modes.sort_index())
    # Of unknown departments several equally strict lines may be named; the mode is the same.
    pd.testing.assert_series_equal(versions.iloc[:-1], mixed_versions.sort_index().iloc[:-1])


# --- single rules, to be read ------------------------------------------------------------------------------------


def test_without_a_line_a_rating_is_aggregate() -> None:
    assert mode_of() == "aggregate"
    assert mode_of(entry("open", process="b")) == "aggregate"


def test_a_line_does_not_hold_before_its_first_day() -> None:
    line = entry("department_only", date(2026, 1, 10))
    assert mode_of(line, rated_on=date(2026, 1, 9), today=date(2026, 1, 9)) == "aggregate"
    assert mode_of(line, rated_on=date(2026, 1, 10)) == "department_only"


def test_the_line_with_fewest_stars_wins_whatever_its_mode_or_date() -> None:
    wide, narrow = entry("department_only", DAYS[2]), entry("open", DAYS[0], process="a", rater_department=2)
    assert mode_of(wide, narrow) == "open"
    assert mode_of(wide, narrow, rater=3) == "department_only"


def test_a_line_covers_everything_below_its_department() -> None:
    line = entry("open", rater_department=1)
    assert [mode_of(line, rater=rater) for rater in PARENTS] == ["open"] * 5
    assert mode_of(entry("open", rater_department=4), rater=2) == "aggregate"


def test_of_the_same_line_the_latest_that_holds_wins() -> None:
    lines = entry("aggregate", DAYS[0]), entry("named_to_hr", DAYS[2]), entry("department_only", DAYS[3])
    assert mode_of(*lines, rated_on=DAYS[2]) == "named_to_hr"


def test_loosening_does_not_open_what_was_given_before() -> None:
    lines = entry("aggregate", DAYS[0]), entry("open", DAYS[2])
    assert mode_of(*lines, rated_on=date(2025, 12, 31)) == "aggregate"
    assert mode_of(*lines, rated_on=DAYS[2]) == "open"


def test_tightening_hides_what_was_given_before() -> None:
    lines = entry("open", DAYS[0]), entry("department_only", DAYS[2])
    assert mode_of(*lines, rated_on=DAYS[0], today=date(2025, 12, 31)) == "open"
    assert mode_of(*lines, rated_on=DAYS[0]) == "department_only"


def test_an_unknown_department_takes_the_strictest_line_of_its_process() -> None:
    lines = (
        entry("open", process="a"),
        entry("department_only", process="a", rater_department=2),
        entry("open", process="b"),
    )
    assert mode_of(*lines, rater=0) == mode_of(*lines, ratee=0) == "department_only"
    assert mode_of(*lines, rater=0, process="b") == "open"


def test_an_unknown_department_is_aggregate_unless_a_line_holds_everywhere() -> None:
    assert mode_of(entry("open", rater_department=1), rater=0) == "aggregate"
    assert mode_of(entry("open"), rater=0) == "open"


def test_a_policy_of_tomorrow_opens_no_unknown_department_today() -> None:
    assert mode_of(entry("open", DAYS[3]), rater=0) == mode_of(entry("open", DAYS[3]), rater=4) == "aggregate"
    narrow = entry("open", DAYS[0], rater_department=2)
    assert mode_of(narrow, entry("open", DAYS[3]), rater=0) == "aggregate"


def test_the_version_names_the_line_that_decided() -> None:
    loose, strict = entry("open", DAYS[0]), entry("named_to_hr", DAYS[2])
    _, versions = PolicyBook.build((loose, strict)).resolve(
        ratings(("a", 4, 5, DAYS[0]), ("a", 4, 5, DAYS[2]), ("a", 4, 5, date(2024, 1, 1))), COMPANY, TODAY
    )
    assert versions.tolist() == [strict.version, strict.version, DEFAULT_VERSION]


def test_every_part_of_a_line_changes_its_version() -> None:
    lines = [
        entry(),
        entry("aggregate"),
        entry(valid_from=DAYS[1]),
        entry(process="a"),
        entry(rater_department=2),
        entry(ratee_department=2),
    ]
    assert len({line.version for line in lines}) == len(lines)
    assert entry().version == entry().version


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (entry(process="a"), entry("aggregate", process="a")),
        (entry(process="a"), entry(rater_department=2)),
        (entry(rater_department=2), entry(ratee_department=3)),
        (entry(process="a", rater_department=2), entry(process="a", ratee_department=3, valid_from=DAYS[3])),
    ],
)
def test_lines_that_surely_meet_are_refused_and_both_named(one: PolicyEntry, other: PolicyEntry) -> None:
    with pytest.raises(PolicyError) as refusal:
        PolicyBook.build((one, other))
    assert str(one) in str(refusal.value)
    assert str(other) in str(refusal.value)


def test_lines_that_meet_only_in_the_tree_are_refused_once_a_rating_shows_it() -> None:
    book = PolicyBook.build((entry("open", rater_department=2), entry("aggregate", rater_department=4)))
    modes, _ = book.resolve(ratings(("a", 2, 5, DAYS[2])), COMPANY, TODAY)
    assert modes.tolist() == ["open"]
    with pytest.raises(PolicyError, match="rater_department: 4"):
        book.resolve(ratings(("a", 4, 5, DAYS[2])), COMPANY, TODAY)


def test_a_policy_without_ratings_is_resolved() -> None:
    for book in (PolicyBook.build(()), PolicyBook.build((entry(),))):
        modes, versions = book.resolve(ratings(), COMPANY, TODAY)
        assert len(modes) == len(versions) == 0


def test_verdicts_keep_the_index_of_the_ratings() -> None:
    rows = ratings(("a", 4, 5, DAYS[2]), ("a", 0, 5, DAYS[2])).set_axis([7, 3])
    modes, versions = PolicyBook.build((entry("open", rater_department=1),)).resolve(rows, COMPANY, TODAY)
    assert modes.to_dict() == {7: "open", 3: "aggregate"}
    assert versions.index.tolist() == [7, 3]


def test_the_dimension_lists_every_line_and_the_default() -> None:
    line = entry("open", process="a", rater_department=2)
    default, only = PolicyBook.build((line,)).rows()
    assert (default["policy_version"], default["mode"]) == (DEFAULT_VERSION, "aggregate")
    assert only == {
        "policy_version": line.version,
        "process_key": "a",
        "rater_department": "2",
        "ratee_department": "*",
        "mode": "open",
        "valid_from": DAYS[0],
    }


def test_strictness_runs_from_open_to_department_only() -> None:
    assert [stricter(one, other) for one, other in pairwise(MODES)] == list(MODES[1:])
    assert sorted(MODES, key=rank) == list(MODES)
    assert stricter("department_only", "open") == "department_only"


@pytest.mark.parametrize(
    "wrong", [{"mode": "public"}, {"mode": "open", "proces": "a"}, {"mode": "open", "rater_department": "seven"}, {}]
)
def test_a_line_that_says_something_else_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicyEntry.model_validate({"valid_from": DAYS[0], **wrong})


# --- people who move ----------------------------------------------------------------------------------------------


def moved(on: date) -> Organisation:
    """Employee 7 leaves department 4 for 5 on a day; employee 8 has always been in 5."""
    return Organisation(
        pd.DataFrame(
            {
                "employee_id": [7, 7, 8],
                "department_id": [4, 5, 5],
                "valid_from": [date(1970, 1, 1), on, date(1970, 1, 1)],
            }
        ),
        COMPANY.departments,
    )


@pytest.mark.parametrize("open_department", [4, 5])
def test_a_rating_given_around_a_move_has_the_stricter_mode_of_both_departments(open_department: int) -> None:
    book = PolicyBook.build((entry("open", rater_department=open_department),))
    monday, wednesday, friday = date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 9)
    sightings = [date(2026, 1, 4), wednesday, friday]
    company = moved(wednesday)

    def mode(rated_on: date) -> str:
        frame = pd.DataFrame({"process_key": ["a"], "rater_id": [7], "ratee_id": [8], "rated_on": [rated_on]})
        return str(book.resolve_people(frame, company, sightings, TODAY)[0].iloc[0])

    assert mode(monday) == "aggregate", "the next run saw another department: he may have moved before he rated"
    assert mode(wednesday) == "aggregate", "on the day of the move nobody knows what came first"
    before, after = mode(date(2026, 1, 2)), mode(friday)
    assert (before, after) == (("open", "aggregate") if open_department == 4 else ("aggregate", "open"))
