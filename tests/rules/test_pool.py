"""Pooled comments: many people behind every text, nobody twice, and nothing at all if anybody shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.policy import MODES
from assets.rules.pool import FEW_PEOPLE, LEAK, REVIEW, ROW_COLUMNS, SPENT_COLUMNS, Pools, pool_comments

Row = dict[str, Any]

JANUARY, MARCH, APRIL, JUNE = (date(2026, month, 1) for month in (1, 3, 4, 6))
SEAL = bytes(range(32))
NOTHING = pd.DataFrame({"process_key": pd.Series(dtype="str"), "rating_id": pd.Series(dtype="int64")})


@dataclass(frozen=True)
class Plain:
    text: str
    needs_review: bool


class Marker:
    """Takes out one name; what says "я как" needs review; overlooks a name written in one word with something."""

    def redact_all(self, texts: Sequence[str]) -> list[Plain]:
        return [Plain(text.lower().replace(" иванов", " […]"), "я как" in text) for text in texts]

    def leaks(self, text: str) -> bool:
        return "иванов" in text


def rating(**values: Any) -> Row:
    return {
        "process_key": "a",
        "rating_id": 1,
        "period": JANUARY,
        "rater_id": 11,
        "ratee_department_id": 8,
        "mode": "aggregate",
        "exclusion_code": "",
        "comment": "",
        "comment_level": "ok",
    } | values


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(rating()))
    kinds = {column: "int64" if column.endswith("_id") else "str" for column in rating() if column != "period"}
    return table.astype(kinds)


WORDS = ("макет", "доступ", "срок", "файл", "ответ", "формат", "адрес", "пример", "отчет", "лист", "образец", "логин")


def written(*comments: str, **values: Any) -> list[Row]:
    """One rating of each of so many raters, with these comments."""
    return [
        rating(rater_id=rater, rating_id=rater, comment=comment) | values
        for rater, comment in enumerate(comments, start=11)
    ]


def crowd(comments: int, silent: int) -> list[Row]:
    return written(*(f"не дали {word}" for word in WORDS[:comments]), *[""] * silent)


def pools(rows: Iterable[Row], quarter: date = JANUARY, **values: Any) -> Pools:
    given_: dict[str, Any] = {"spent": NOTHING, "published": (), "redactor": Marker(), "seal": SEAL} | values
    return pool_comments(frame(rows), quarter, **given_)


def texts(result: Pools) -> list[str]:
    return sorted(result.rows["comment"])


def authors(rows: Iterable[Row], result: Pools) -> list[int]:
    of = {(row["process_key"], row["rating_id"]): row["rater_id"] for row in rows}
    return [of[key] for key in result.spent[["process_key", "rating_id"]].itertuples(index=False, name=None)]


# --- thresholds ---------------------------------------------------------------------------------------------------


def test_a_large_pool_lets_out_redacted_texts_and_nothing_else() -> None:
    rows = [*crowd(2, 7), *written("Не дал Иванов\nмакет", rating_id=3, rater_id=33)]
    result = pools(rows)
    assert texts(result) == sorted(["не дали макет", "не дали доступ", "не дал […]"])
    assert tuple(result.rows.columns) == ROW_COLUMNS == ("release_id", "process_key", "ratee_department_id", "comment")
    assert set(result.rows["process_key"]) == {"a"}
    assert set(result.rows["ratee_department_id"]) == {8}
    assert tuple(result.spent.columns) == SPENT_COLUMNS
    assert set(result.spent["release_id"]) == set(result.rows["release_id"])
    assert len(result.rows["release_id"].iloc[0]) == 32
    assert sorted(result.spent["rating_id"]) == [3, 11, 12]
    assert result.held == {}


@pytest.mark.parametrize(("comments", "silent"), [(3, 6), (2, 20), (9, 0)])
def test_fewer_than_ten_raters_or_three_authors_let_out_nothing(comments: int, silent: int) -> None:
    result = pools(crowd(comments, silent))
    assert texts(result) == []
    assert result.spent.empty
    assert result.held == {FEW_PEOPLE: 1}


def test_ten_ratings_of_one_rater_are_one_rater_and_one_author() -> None:
    rows = crowd(3, 6)
    assert texts(pools(rows + [rating(rater_id=11, rating_id=number) for number in range(50, 60)])) == []
    many = [rating(rater_id=11, rating_id=number, comment=f"не дали {number}а") for number in range(50, 60)]
    assert texts(pools(crowd(2, 10) + many)) == []


def test_raters_of_earlier_quarters_do_not_make_a_pool() -> None:
    rows = crowd(3, 7)
    assert len(texts(pools(rows))) == 3
    assert texts(pools(rows, APRIL)) == []


@pytest.mark.parametrize(
    ("comments", "silent", "number"),
    [(3, 9, 3), (5, 9, 3), (6, 6, 6), (12, 0, 6), (12, 6, 9), (12, 11, 9), (12, 12, 12)],
)
def test_the_number_is_a_multiple_of_three_and_at_most_half_of_the_raters(
    comments: int, silent: int, number: int
) -> None:
    assert len(texts(pools(crowd(comments, silent)))) == number


def test_pools_are_of_one_process_and_one_department() -> None:
    rows = crowd(3, 7)
    assert texts(pools([*rows[:9], rows[9] | {"process_key": "b"}])) == []
    assert texts(pools([*rows[:9], rows[9] | {"ratee_department_id": 9}])) == []
    assert texts(pools([row | {"ratee_department_id": 0} for row in rows])) == []
    other = [row | {"process_key": "b", "comment": row["comment"] and row["comment"] + " вовремя"} for row in rows]
    result = pools(rows + other)
    assert Counter(result.rows["process_key"]) == {"a": 3, "b": 3}
    assert result.rows.groupby("process_key")["release_id"].nunique().tolist() == [1, 1]
    assert result.rows["release_id"].nunique() == 2


def test_what_hr_does_not_know_is_counted_by_itself() -> None:
    rows = crowd(6, 18)
    assert len(texts(pools([row | {"mode": "named_to_hr"} for row in rows]))) == 6
    # HR would be left with two texts that it does not know: they wait.
    two = [row | {"mode": "named_to_hr"} if 2 <= number < 14 else row for number, row in enumerate(rows)]
    assert len(texts(pools(two))) == 3
    assert not {11, 12} & set(authors(two, pools(two)))
    # HR would be left with nine raters.
    nine = [row | {"mode": "named_to_hr"} if number >= 9 else row for number, row in enumerate(rows)]
    assert texts(pools(nine)) == []


# --- texts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"comment": "я как бухгалтер жду"},
        {"comment": "- ", "comment_level": "violation"},
        {"comment_level": "violation"},
        {"comment": " … \n "},
        {"comment": "100 %"},
        {"mode": "department_only"},
        {"mode": "open"},
        {"exclusion_code": "deleted"},
        {"period": APRIL},
    ],
)
def test_comments_that_are_not_to_be_shown_are_no_author(values: Row) -> None:
    rows = crowd(3, 20)
    assert len(texts(pools(rows))) == 3
    assert texts(pools([rows[0] | values, *rows[1:]])) == []


def test_comments_for_review_are_counted() -> None:
    rows = [*crowd(3, 8), rating(rater_id=60, rating_id=60, comment="я как бухгалтер жду")]
    result = pools(rows)
    assert len(texts(result)) == 3
    assert result.held == {REVIEW: 1}


def test_one_leak_holds_the_whole_pool_back_and_no_other() -> None:
    rows = crowd(3, 8)
    leaking = [row | {"comment": row["comment"].replace("не дали", "неиванов")} for row in rows]
    other = [row | {"process_key": "b"} for row in rows]
    result = pools(leaking[:1] + rows[1:] + [row | {"comment": row["comment"] + " б"} for row in other])
    assert set(result.rows["process_key"]) == {"b"}
    assert set(result.spent["process_key"]) == {"b"}
    assert result.held == {LEAK: 1}


def test_only_one_paragraph_is_shown() -> None:
    rows = crowd(3, 8)
    rows[0]["comment"] = "Привет!\n\n  Не дали ничего вовремя \nИванов\n"
    assert "не дали ничего вовремя" in texts(pools(rows))


def test_no_text_is_shown_twice() -> None:
    rows = crowd(4, 12)
    rows[1]["comment"] = rows[0]["comment"].upper() + " "
    assert len(texts(pools(rows))) == 3
    assert len(texts(pools(rows[:3] + rows[4:]))) == 0
    assert texts(pools(rows, published=["Не  дали макет"])) == []
    copy = [row | {"process_key": "b"} for row in rows]
    assert Counter(pools(rows + copy).rows["process_key"]) == {"a": 3}


def test_a_comment_is_never_released_twice_and_waits_for_the_next_quarter() -> None:
    rows = crowd(5, 9)
    first = pools(rows)
    later = [*rows, *(row | {"rating_id": row["rating_id"] + 100, "period": JUNE, "comment": ""} for row in rows)]
    later.append(rating(rater_id=70, rating_id=70, period=APRIL, comment="не дали ключ"))
    second = pools(later, APRIL, spent=first.spent, published=list(first.rows["comment"]))
    assert sorted(texts(first) + texts(second)) == sorted([row["comment"] for row in rows[:5]] + ["не дали ключ"])
    assert not set(first.spent["rating_id"]) & set(second.spent["rating_id"])
    assert set(first.rows["release_id"]).isdisjoint(second.rows["release_id"])


def test_a_released_comment_that_is_edited_is_not_released_again() -> None:
    rows = crowd(3, 9)
    first = pools(rows)
    edited = [row | {"comment": row["comment"] and row["comment"] + " вовремя"} for row in rows]
    assert texts(pools(edited, spent=first.spent, published=list(first.rows["comment"]))) == []


def test_the_order_tells_nothing_of_ratings_or_raters() -> None:
    rows = crowd(12, 12)
    places = {pools(rows, seal=bytes([seal]) * 32).rows["comment"].iloc[0] for seal in range(30)}
    assert len(places) > 6
    chosen = {tuple(texts(pools(crowd(12, 0), seal=bytes([seal]) * 32))) for seal in range(10)}
    assert len(chosen) > 6


# --- any pool -----------------------------------------------------------------------------------------------------

some_comments = (
    "",
    "",
    "не дали макет",
    "нет доступа",
    "срок вчера",
    "не отвечает",
    "иванов молчит",
    "я как юрист жду",
)


def any_ratings(seed: int) -> list[Row]:
    """Enough ratings of enough people that pools come about; lists of hypothesis are too short for that."""
    random = Random(seed)
    raters = random.randint(9, 26)
    modes = random.choice((("aggregate",), MODES, ("aggregate", "named_to_hr"), ("named_to_hr",)))
    leaves_no_trace = random.random() < 0.7
    return [
        rating(
            rating_id=number,
            process_key=random.choice("aaab"),
            period=random.choice((JANUARY, MARCH, APRIL, JUNE)),
            rater_id=random.randint(11, 10 + raters),
            ratee_department_id=random.choice((8, 8, 8, 9)),
            mode=random.choice(modes),
            comment=random.choice(
                (
                    "",
                    f"не дали {random.choice(WORDS)} {random.choice('абв')}",
                    random.choice(some_comments[: 6 if leaves_no_trace else None]),
                )
            ),
            comment_level=random.choice(("ok", "ok", "ok", "weak", "violation")),
        )
        for number in range(random.randint(60, 160))
    ]


many_ratings = st.integers(0, 10**9).map(any_ratings)


@given(many_ratings, st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_of_any_ratings_only_safe_pools_are_released(rows: list[Row], random: Random) -> None:
    by_id = {(row["process_key"], row["rating_id"]): row for row in rows}
    first = pools(rows)
    second = pools(rows, APRIL, spent=first.spent, published=list(first.rows["comment"]))
    for result, months in ((first, (JANUARY, MARCH)), (second, (APRIL, JUNE))):
        assert not any(Marker().leaks(text) for text in result.rows["comment"])
        assert len(result.rows) == len(result.spent)
        for (process, department), shown in result.rows.groupby(["process_key", "ratee_department_id"]):
            release = shown["release_id"].iloc[0]
            keys = result.spent.loc[result.spent["release_id"].eq(release), ["process_key", "rating_id"]]
            chosen = [by_id[key] for key in keys.itertuples(index=False, name=None)]
            pool = [
                row
                for row in rows
                if (row["process_key"], row["ratee_department_id"]) == (process, department)
                and row["period"] in months
                and row["mode"] not in ("open", "department_only")
            ]
            raters = {row["rater_id"] for row in pool}
            unseen = {row["rater_id"] for row in pool if row["mode"] != "named_to_hr"}
            assert len(shown) == len(chosen) == len({row["rater_id"] for row in chosen})
            assert len(shown) % 3 == 0
            assert 3 <= len(shown) <= len(raters) / 2
            assert len(raters) >= 10
            assert not unseen or len(unseen) >= 10
            assert sum(row["mode"] != "named_to_hr" for row in chosen) % 3 == 0
            assert all(row["comment_level"] != "violation" and "я как" not in row["comment"] for row in chosen)
    everything = [" ".join(text.split()) for text in (*first.rows["comment"], *second.rows["comment"])]
    assert len(everything) == len(set(everything))
    taken = pd.concat([first.spent, second.spent])
    assert not taken.duplicated(["process_key", "rating_id"]).any()
    again = pools(random.sample(rows, len(rows)))
    pd.testing.assert_frame_equal(first.rows, again.rows)
    pd.testing.assert_frame_equal(first.spent, again.spent)
    assert first.held == again.held
