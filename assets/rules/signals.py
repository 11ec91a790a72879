"""Signals: where ratings look like a bargain, a grudge or a habit rather than a judgement.

Belongs here: what is suspicious, how strong it is, what HR reads about it. Does not belong here: scores and bands
(`scoring.py`), who may see it and its status (`assets/scores.py`, `decisions.py`).

A signal is a question for HR, never evidence: in made-up companies where nobody cheats some alerts come up all the
same, and of the alerts in companies with cheats only a part is right (docs/scoring.md has the figures). A signal names
people, so it is told of ratings only that HR reads by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from assets.rules.scoring import FIVE, Fit
from assets.rules.wording_ru import counted

METHOD_VERSION = "signals-1"
"""Name of this rule set, stamped on every signal."""

SCORE_FROM = 1

RECIPROCAL_RATINGS = 6
RECIPROCAL_EACH = 2
RECIPROCAL_STRENGTH = 1.9
"""In companies of 240 people without cheats about three pairs reach it in half a year."""
TRADED_STRENGTH = 1.5
"""Six or seven such pairs: enough for doubt, too many for alerts."""

SINKING_RATINGS = 3
SINKING_DEVIATIONS = 2.75
"""In companies of 240 people without cheats two pairs reach it in half a year."""

LINE_RATINGS = 20
LINE_SHARE = 0.98
LINE_CHANCE = 0.0001
"""In companies of 240 people without cheats two raters stay below it in half a year."""
SURE = (0.005, 0.995)
"""Nothing is foretold more surely."""

RING_RATINGS = 4
RING_PEOPLE = 3

LOW_SCORE = 3
ANSWER_DAYS = 14
ANSWERS = 2

SHIFT_RATINGS = 5
SHIFT_ERRORS = 3.5
"""More than the three that one comparison would need: the best of several months is looked at."""

SIGNAL_COLUMNS = ["signal_type", "rater_id", "ratee_id", "ratings", "strength", "explanation", "is_experimental"]
PAIR_COLUMNS = ["rater_id", "ratee_id"]


@dataclass(frozen=True)
class Signal:
    """A kind of signal.

    Attributes:
        title: what HR reads.
        is_experimental: off unless it is asked for.
    """

    title: str
    is_experimental: bool = False


SIGNALS: Mapping[str, Signal] = {
    "reciprocal": Signal("Взаимные пятёрки"),
    "sinking": Signal("Занижение оценок одному коллеге"),
    "pressure_edit": Signal("Оценка поднята или удалена после публикации"),
    "straight_line": Signal("Одна и та же оценка всем"),
    "ring": Signal("Пятёрки по кругу", is_experimental=True),
    "retaliation": Signal("Низкая оценка в ответ на низкую", is_experimental=True),
    "severity_shift": Signal("Резкая смена строгости", is_experimental=True),
}
"""By code, in the order in which HR reads them."""


def find(
    ratings: pd.DataFrame,
    fit: Fit,
    *,
    events: pd.DataFrame | None = None,
    experimental: Collection[str] = (),
) -> pd.DataFrame:
    """Finds what is suspicious in a window.

    Args:
        ratings: counted ratings; columns period, rated_on (date or None), rater_id, ratee_id, score.
        fit: the model fitted to them (`scoring.fit`).
        events: what was observed of them after they were first published; columns event, old_score, score, rater_id,
            ratee_id.
        experimental: experimental signals to look for, too.

    Returns:
        One row per alert, strongest first within its kind; columns `SIGNAL_COLUMNS`. ratee_id is 0 if a signal is about
        a rater alone; of two people who rate each other, rater_id is the smaller one.
    """
    kinds: dict[str, Callable[[], pd.DataFrame]] = {
        "reciprocal": lambda: _reciprocal(fit),
        "sinking": lambda: _sinking(fit),
        "pressure_edit": lambda: _pressure_edits(events),
        "straight_line": lambda: _straight_lines(ratings, fit),
        "ring": lambda: _rings(fit),
        "retaliation": lambda: _retaliations(ratings, fit),
        "severity_shift": lambda: _shifts(ratings, fit),
    }
    found = [_empty()]
    for kind, signal in SIGNALS.items():
        if signal.is_experimental and kind not in experimental:
            continue
        rows = kinds[kind]()
        rows = rows[rows["is_alert"].to_numpy(dtype=bool)].assign(
            signal_type=kind, is_experimental=signal.is_experimental
        )
        rows = rows.sort_values(["strength", "rater_id", "ratee_id"], ascending=[False, True, True])
        if not rows.empty:
            found.append(rows.assign(explanation=_EXPLANATIONS[kind](rows))[SIGNAL_COLUMNS])
    return pd.concat(found[1:], ignore_index=True) if len(found) > 1 else found[0]


def flagged_pairs(found: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """The pairs that a sensitivity score leaves out: those whose ratings of one another are in doubt.

    Who trades fives is in doubt below the strength that raises an alert: an alert costs somebody an enquiry, but a
    recommendation that is left to the committee costs nothing.

    Args:
        found: what `find` found.
        fit: the model it was found with.

    Returns:
        Columns rater_id, ratee_id; of two people who trade fives both directions.
    """
    about = found[found["signal_type"].isin(["sinking", "ring", "retaliation"]).to_numpy(dtype=bool)]
    traded = _reciprocal(fit)
    traded = traded.loc[traded["is_traded"].to_numpy(dtype=bool), PAIR_COLUMNS]
    back = traded.rename(columns={"rater_id": "ratee_id", "ratee_id": "rater_id"})
    pairs: pd.DataFrame = pd.concat([about[PAIR_COLUMNS], traded, back[PAIR_COLUMNS]]).drop_duplicates()
    return pairs.sort_values(PAIR_COLUMNS, ignore_index=True)


def strengths(ratings: pd.DataFrame, fit: Fit, signal_type: str) -> pd.DataFrame:
    """How strong a signal is for every candidate, alert or not: what its power to tell people apart is measured on.

    Candidates are: for reciprocal all pairs who rate each other; for sinking all pairs; for the others every pair or
    rater whom the signal looks at.

    Returns:
        Columns rater_id, ratee_id, strength.
    """
    candidates: dict[str, Callable[[], pd.DataFrame]] = {
        "reciprocal": lambda: _reciprocal(fit),
        "sinking": lambda: _sinking(fit),
        "straight_line": lambda: _straight_lines(ratings, fit),
        "ring": lambda: _rings(fit),
        "retaliation": lambda: _retaliations(ratings, fit),
        "severity_shift": lambda: _shifts(ratings, fit),
    }
    return candidates[signal_type]()[[*PAIR_COLUMNS, "strength"]].reset_index(drop=True)


# --- pairs --------------------------------------------------------------------------------------------------------


def _reciprocal(fit: Fit) -> pd.DataFrame:
    """Two people who give each other nothing but fives, more of them than others foretell, and live on them.

    Strength is the part that each makes of the other's ratings (geometric mean), times the root of their number, more
    if both give each other better scores than all their other ratings foretell.
    """
    edges = fit.edges
    share = edges["ratings"] / edges.groupby("ratee_id")["ratings"].transform("sum")
    edges = edges.assign(share=share)[[*PAIR_COLUMNS, "ratings", "fives", "share", "z_five"]]
    back = edges.rename(columns={"rater_id": "ratee_id", "ratee_id": "rater_id"})
    both = edges[edges["rater_id"].lt(edges["ratee_id"]).to_numpy(dtype=bool)].merge(
        back, on=PAIR_COLUMNS, suffixes=("", "_back")
    )
    given = both["ratings"] + both["ratings_back"]
    fives = (both["fives"] + both["fives_back"]) / given
    part = np.sqrt(both["share"] * both["share_back"])
    better = (both["z_five"] + both["z_five_back"]).clip(lower=0)
    least = both[["ratings", "ratings_back"]].min(axis=1)
    is_enough = given.ge(RECIPROCAL_RATINGS) & least.ge(RECIPROCAL_EACH)
    # Whoever gives anything but a five ranks below all who do not.
    strength = (part * np.sqrt(given) * (1 + better / 2)).where(fives.eq(1), fives - 1)
    return both.assign(
        ratings=given,
        strength=strength,
        part=part,
        is_alert=is_enough & strength.ge(RECIPROCAL_STRENGTH),
        is_traded=is_enough & strength.ge(TRADED_STRENGTH),
    )


def _sinking(fit: Fit) -> pd.DataFrame:
    """A rater whose scores of one colleague lie far below what all other ratings foretell."""
    edges = fit.edges
    return edges.assign(
        strength=-edges["z_grade"],
        is_alert=edges["ratings"].ge(SINKING_RATINGS) & edges["z_grade"].le(-SINKING_DEVIATIONS),
    )


def _rings(fit: Fit) -> pd.DataFrame:
    """Three people or more who praise one another in a circle, without praising back and forth."""
    edges = fit.edges
    praise = edges["ratings"].ge(RING_RATINGS) & edges["fives"].eq(edges["ratings"]) & edges["z_five"].gt(0)
    back = pd.MultiIndex.from_frame(edges.loc[praise, ["ratee_id", "rater_id"]])
    one_way = praise & ~pd.MultiIndex.from_frame(edges[PAIR_COLUMNS]).isin(back)
    people, place = np.unique(edges[PAIR_COLUMNS].to_numpy(dtype="int64").ravel(), return_inverse=True)
    ends = place.reshape(-1, 2)[one_way.to_numpy(dtype=bool)]
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(people),) * 2)
    _, label = connected_components(graph, directed=True, connection="strong")
    size = np.bincount(label, minlength=1)
    label_of = pd.Series(label, people)
    one, other = (edges[name].map(label_of) for name in PAIR_COLUMNS)
    circle = one_way & one.eq(other) & pd.Series(size[one.to_numpy(dtype="int64")], edges.index).ge(RING_PEOPLE)
    people_in = pd.Series(size[one.to_numpy(dtype="int64")], edges.index)
    return edges.assign(
        strength=edges["z_five"].where(circle, edges["z_five"] - 100), people=people_in, is_alert=circle
    )


# --- raters -------------------------------------------------------------------------------------------------------


def _straight_lines(ratings: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """Raters who give everybody the same score, although the same people get others from others.

    The chance is that of an average rater: the shares of fives (or of lower scores) that the ratees get from others,
    multiplied. Whether somebody does not look or is only very lenient, no figure can tell: HR has to ask.
    """
    rows = ratings[ratings["score"].notna().to_numpy(dtype=bool)]
    usual = pd.Series(fit.five.mean + fit.five.effect, fit.ratees)
    foretold = rows["ratee_id"].map(usual).to_numpy(dtype="float64")
    raters, place = np.unique(rows["rater_id"].to_numpy(dtype="int64"), return_inverse=True)
    scores = np.arange(SCORE_FROM, FIVE + 1)
    given = np.stack([np.bincount(place[rows["score"].eq(at).to_numpy()], minlength=len(raters)) for at in scores])
    total, same, top = given.sum(axis=0), given.max(axis=0, initial=0), scores[given.argmax(axis=0)]
    share = np.clip(foretold, *SURE)
    fives = np.bincount(place, np.log(share), len(raters))
    lower = np.bincount(place, np.log1p(-share), len(raters))
    log_chance = np.where(top == FIVE, fives, lower)
    is_line = same >= LINE_SHARE * total
    return pd.DataFrame(
        {
            "rater_id": raters,
            "ratee_id": 0,
            "ratings": total,
            "same": same,
            "score": top,
            "strength": np.where(is_line, -log_chance / np.log(10), -1.0),
            "is_alert": is_line & (total >= LINE_RATINGS) & (log_chance < np.log(LINE_CHANCE)),
        }
    )


def _shifts(ratings: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """Raters who from one month to the next become much stricter or milder with everybody."""
    rows = pd.DataFrame(
        {"rater_id": ratings["rater_id"], "period": ratings["period"], "left": fit.residuals.reindex(ratings.index)}
    ).dropna()
    months = rows.groupby(["rater_id", "period"], sort=True)["left"].agg(["size", "sum"]).reset_index()
    total = months.groupby("rater_id")[["size", "sum"]].transform("sum")
    before = months.groupby("rater_id")[["size", "sum"]].cumsum()
    after = total - before
    spread = float(rows["left"].std()) if len(rows) > 1 else 0.0
    is_split = before["size"].ge(SHIFT_RATINGS) & after["size"].ge(SHIFT_RATINGS) & (spread > 0)
    error = spread * np.sqrt(1 / before["size"] + 1 / after["size"].clip(lower=1))
    change = after["sum"] / after["size"].clip(lower=1) - before["sum"] / before["size"]
    split = months.assign(ratings=total["size"], change=change / np.maximum(error, 1e-9))[is_split.to_numpy(dtype=bool)]
    split = split.assign(strength=split["change"].abs(), ratee_id=0)
    best = split.sort_values(["rater_id", "strength", "period"]).drop_duplicates("rater_id", keep="last")
    return best.assign(is_alert=best["strength"].ge(SHIFT_ERRORS))


# --- events -------------------------------------------------------------------------------------------------------


def _pressure_edits(events: pd.DataFrame | None) -> pd.DataFrame:
    """Scores that were raised, and low ones that were deleted, after they had been published once."""
    if events is None or events.empty:
        return _empty().assign(is_alert=False)
    old, new = events["old_score"].astype("float64"), events["score"].astype("float64")
    raised = (new - old).where(events["event"].eq("edit"), 0.0).clip(lower=0).fillna(0.0)
    removed = (FIVE - new.fillna(old)).where(events["event"].eq("delete"), 0.0).clip(lower=0).fillna(0.0)
    removed = removed.where(removed.ge(FIVE - LOW_SCORE), 0.0)
    told = events[PAIR_COLUMNS].assign(raised=raised, removed=removed, ratings=raised.gt(0) | removed.gt(0))
    pairs = told.groupby(PAIR_COLUMNS).sum().reset_index()
    strength = (pairs["raised"] + pairs["removed"]).astype("float64")
    return pairs.assign(strength=strength, is_alert=strength.gt(0))


def _retaliations(ratings: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """Raters who answer a low score with a low one within two weeks, more than once."""
    rows = ratings.assign(left=fit.residuals.reindex(ratings.index))
    low = rows[rows["score"].le(LOW_SCORE).to_numpy(dtype=bool) & rows["rated_on"].notna().to_numpy(dtype=bool)]
    insult = low[[*PAIR_COLUMNS, "rated_on"]].rename(
        columns={"rater_id": "ratee_id", "ratee_id": "rater_id", "rated_on": "since"}
    )
    answers = low.reset_index(names="rating").merge(insult, on=PAIR_COLUMNS)
    late = [
        timedelta(0) < day - since <= timedelta(days=ANSWER_DAYS)
        for day, since in zip(answers["rated_on"], answers["since"], strict=True)
    ]
    answers = answers[np.array(late, dtype=bool)].drop_duplicates("rating")
    pairs = answers.groupby(PAIR_COLUMNS).agg(ratings=("rating", "size"), left=("left", "sum")).reset_index()
    return pairs.assign(strength=-pairs["left"], is_alert=pairs["ratings"].ge(ANSWERS) & pairs["left"].lt(0))


def _empty() -> pd.DataFrame:
    numbers = {"rater_id": "int64", "ratee_id": "int64", "ratings": "int64", "strength": "float64"}
    texts = {"signal_type": "object", "explanation": "object", "is_experimental": "bool"}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in (numbers | texts).items()})[SIGNAL_COLUMNS]


# --- what HR reads ------------------------------------------------------------------------------------------------


def _told(rows: pd.DataFrame, sentence: Callable[..., str], *columns: str) -> list[str]:
    return [sentence(*values) for values in rows[[*columns]].itertuples(index=False, name=None)]


_EXPLANATIONS: Mapping[str, Callable[[pd.DataFrame], list[str]]] = {
    "reciprocal": lambda rows: _told(
        rows,
        lambda given, part: (
            f"{_ratings(given)} друг другу, все пятёрки; в среднем это {100 * part:.0f} % всего, что каждый получил."
        ),
        "ratings",
        "part",
    ),
    "sinking": lambda rows: _told(
        rows,
        lambda given, mean, strength: (
            f"{_ratings(given)} со средней {_decimal(mean, 1)}; это на {_decimal(strength, 1)} стандартного отклонения "
            "ниже, чем следует из остальных оценок обоих."
        ),
        "ratings",
        "mean_score",
        "strength",
    ),
    "pressure_edit": lambda rows: _told(
        rows,
        lambda given, raised, removed: (
            f"После публикации изменено: {_ratings(given)}; поднято в сумме на {_points(raised)}, "
            f"удалённые низкие оценки отстояли от пятёрки на {_points(removed)}."
        ),
        "ratings",
        "raised",
        "removed",
    ),
    "straight_line": lambda rows: _told(
        rows,
        lambda given, same, score: (
            f"{int(same)} из {counted(given, 'оценки', 'оценок', 'оценок')} — «{int(score)}»; у других те же коллеги "
            "получают разные оценки."
        ),
        "ratings",
        "same",
        "score",
    ),
    "ring": lambda rows: _told(
        rows,
        lambda given, people: (
            f"{_ratings(given)}, все пятёрки; такие же пятёрки замыкаются в круг из {int(people)} человек."
        ),
        "ratings",
        "people",
    ),
    "retaliation": lambda rows: _told(
        rows,
        lambda given: (
            f"{_ratings(given)} не выше {LOW_SCORE} в ответ на такую же от этого коллеги, каждый раз в пределах "
            f"{ANSWER_DAYS} дней."
        ),
        "ratings",
    ),
    "severity_shift": lambda rows: _told(
        rows,
        lambda given, change, period: (
            f"После {period:%m.%Y} оценки стали {'мягче' if change > 0 else 'строже'} для всех: разница в "
            f"{_decimal(abs(change), 1)} стандартной ошибки по {counted(given, 'оценке', 'оценкам', 'оценкам')}."
        ),
        "ratings",
        "change",
        "period",
    ),
}


def _points(number: float) -> str:
    return counted(number, "балл", "балла", "баллов")


def _ratings(number: float) -> str:
    return counted(number, "оценка", "оценки", "оценок")


def _decimal(number: float, places: int) -> str:
    return f"{number:.{places}f}".replace(".", ",")
