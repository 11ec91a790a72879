"""A decision counts if it is about a recommendation and says why; a signal that was looked at stays looked at."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from assets.rules.decisions import DECISION_ROWS, EXCLUSION_CODES, NO_PERIOD, decide, statuses

OCTOBER, JUNE = date(2026, 10, 1), date(2026, 6, 1)
ZUEVA, KIM, ORLOV = 10, 11, 12
WHY = "Полгода постановки полные, с макетами и сроками"
ABOVE, NORMAL, BELOW = "Стабильно выше", "В норме", "Стабильно ниже"

SCORES = pd.DataFrame(
    [
        ("named", ZUEVA, OCTOBER, ABOVE),
        ("named", KIM, OCTOBER, NORMAL),
        ("hidden", KIM, JUNE, BELOW),
        ("hidden", ZUEVA, JUNE, NORMAL),
        ("named", ZUEVA, JUNE, BELOW),
    ],
    columns=["scope", "ratee_id", "window_to", "band"],
)


def made(number: int = 1, ratee: int = ZUEVA, decision: str = "accepted", **values: Any) -> dict[str, Any]:
    return {
        "number": number,
        "ratee_id": ratee,
        "period": OCTOBER,
        "decision": decision,
        "decided_by": 5,
        "decided_on": date(2026, 11, 10),
        "reason": WHY,
    } | values


def decided(*rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(made()), dtype=object)
    return decide(frame, SCORES, {ZUEVA, KIM, ORLOV})


def codes(*rows: dict[str, Any]) -> dict[int, str]:
    found = decided(*rows)
    assert (found["is_counted"] == (found["exclusion_code"] == "")).all()
    return dict(zip(found["number"], found["exclusion_code"], strict=True))


def test_a_decision_shows_what_was_recommended_and_whether_it_differs() -> None:
    found = decided(made(1), made(2, KIM, "rejected"), made(3, ZUEVA, "deferred", period=JUNE))
    assert found[["number", "recommendation", "scope", "is_different"]].to_numpy().tolist() == [
        [3, BELOW, "named", False],
        [1, ABOVE, "named", False],
        [2, NORMAL, "named", True],
    ]
    assert found["is_counted"].all()


def test_without_a_named_recommendation_the_hidden_one_is_meant() -> None:
    (row,) = decided(made(1, KIM, period=JUNE)).to_dict("records")
    assert (row["scope"], row["recommendation"], row["is_counted"]) == ("hidden", BELOW, True)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ratee_id": 0}, "unknown_ratee"),
        ({"ratee_id": 999}, "unknown_ratee"),
        ({"period": None}, "unknown_period"),
        ({"decision": ""}, "unknown_decision"),
        ({"reason": ""}, "unexplained"),
        ({"reason": "так решили"}, "unexplained"),
        ({"reason": "+"}, "unexplained"),
        ({"ratee_id": ORLOV}, "no_recommendation"),
        ({"period": date(2026, 9, 1)}, "no_recommendation"),
    ],
)
def test_a_decision_that_cannot_count_stays_and_says_why(values: dict[str, Any], code: str) -> None:
    assert codes(made(1, decision="rejected") | values) == {1: code}
    assert code in EXCLUSION_CODES
    assert not decided(made(1, decision="rejected") | values)["is_different"].any()


def test_an_unreadable_month_has_a_day_of_its_own() -> None:
    assert decided(made(period=None))["period"].tolist() == [NO_PERIOD]


def test_a_reason_that_only_asks_for_more_counts() -> None:
    (row,) = decided(made(reason="см. протокол")).to_dict("records")
    assert (row["reason_level"], row["is_counted"]) == ("weak", True)


def test_the_latest_of_several_decisions_counts_whatever_its_place_in_the_file() -> None:
    assert codes(made(1), made(2, decided_on=date(2026, 11, 9)), made(3, decided_on=None)) == {
        1: "",
        2: "duplicate_decision",
        3: "duplicate_decision",
    }
    assert codes(made(1), made(2, decision="rejected")) == {1: "duplicate_decision", 2: ""}
    assert codes(made(1), made(2, period=JUNE), made(3, KIM)) == {1: "", 2: "", 3: ""}


def test_a_later_decision_without_a_reason_replaces_nothing() -> None:
    assert codes(made(1), made(2, decision="rejected", reason="так решили")) == {1: "", 2: "unexplained"}


def test_without_decisions_or_recommendations_the_columns_are_there() -> None:
    assert decided().columns.tolist() == DECISION_ROWS
    nothing = decide(pd.DataFrame([made()]), SCORES.iloc[:0], [ZUEVA])
    assert nothing["exclusion_code"].tolist() == ["no_recommendation"]


# --- reviews ------------------------------------------------------------------------------------------------------


def signal(last: date, kind: str = "sinking", rater: int = KIM, ratee: int = ZUEVA) -> dict[str, Any]:
    first = date(last.year - (last.month < 6), (last.month - 6) % 12 + 1, 1)
    return {"signal_type": kind, "rater_id": rater, "ratee_id": ratee, "window_from": first, "window_to": last}


def review(number: int, status: str, last: date = JUNE, **values: Any) -> dict[str, Any]:
    whole = {"number": number, **signal(last), "status": status} | values
    del whole["window_from"]
    return whole


def looked_at(signals: list[dict[str, Any]], reviews: list[dict[str, Any]]) -> list[str]:
    columns = list(review(0, ""))
    return statuses(pd.DataFrame(signals), pd.DataFrame(reviews, columns=columns, dtype=object)).tolist()


def test_a_review_holds_as_long_as_windows_overlap_and_never_backwards() -> None:
    months = [date(2026, 5, 1), JUNE, date(2026, 7, 1), date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)]
    found = looked_at([signal(month) for month in months], [review(1, "reviewed")])
    assert found == ["new", "reviewed", "reviewed", "reviewed", "new", "new"]


def test_the_review_of_the_latest_window_holds_then_the_last_of_the_file() -> None:
    again = [review(3, "dismissed", date(2026, 8, 1)), review(1, "reviewed"), review(2, "reviewed", date(2026, 8, 1))]
    assert looked_at([signal(JUNE), signal(date(2026, 9, 1))], again) == ["reviewed", "dismissed"]


def test_a_review_is_about_its_own_people_and_kind_of_signal() -> None:
    others = [signal(JUNE, rater=ORLOV), signal(JUNE, kind="ring"), signal(JUNE, rater=ZUEVA, ratee=KIM)]
    assert looked_at(others, [review(1, "reviewed")]) == ["new"] * 3


def test_two_who_praise_each_other_are_one_pair_in_either_order() -> None:
    pair = signal(JUNE, "reciprocal", ZUEVA, KIM)
    turned = review(1, "dismissed", signal_type="reciprocal", rater_id=KIM, ratee_id=ZUEVA)
    assert looked_at([pair], [turned]) == ["dismissed"]


def test_without_reviews_every_signal_is_new() -> None:
    assert looked_at([signal(JUNE)], []) == ["new"]
    assert statuses(pd.DataFrame(columns=list(signal(JUNE))), pd.DataFrame(columns=list(review(0, "")))).empty
