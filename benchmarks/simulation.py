"""Made-up companies whose truth is known: what scores and signals are measured on.

The company of the targets: 240 people in 8 departments, which form 4 pairs that hand work to each other; everybody has
5 partners in the other department, who rate him and mostly are rated by him, and 15 % of his ratings come from
anywhere. A rating is a cut of `quality of the ratee - severity of the rater + chance`. Colluders and sinkers come on
top. Scenarios change one thing each.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

START = "2026-01-01"
DEPARTMENTS = 8
SCORE_SHARES = (0.02, 0.03, 0.08, 0.17, 0.70)
"""Of scores 1 to 5 in the base company."""


@dataclass(frozen=True)
class Scenario:
    """One kind of company.

    Attributes:
        people: how many.
        months: of ratings.
        per_ratee: ratings that somebody gets in six months, on average; lognormal over people, sigma 0.6.
        partners: people of the other department who rate him.
        crossing: share of ratings from outside the pair of departments.
        quality: standard deviation of how well people set tasks.
        severity: standard deviation of how strictly they rate.
        shares: of scores 1 to 5.
        strong: pairs that send 35 % of their tasks to each other and give fives for all of them, at least 2 each.
        subtle: the same with 10 %.
        sinkers: raters who sink one colleague.
        rings: rings of three who praise one another in a circle.
        retaliators: people who answer a low score with a low one within two weeks.
        shifted: raters who become stricter by 1 half-way.
        straight: raters who give everybody the same score, a five or (every other one) a four.
    """

    people: int = 240
    months: int = 6
    per_ratee: float = 18.0
    partners: int = 5
    crossing: float = 0.15
    quality: float = 0.6
    severity: float = 0.8
    shares: tuple[float, ...] = SCORE_SHARES
    strong: int = 3
    subtle: int = 3
    sinkers: int = 7
    rings: int = 0
    retaliators: int = 0
    shifted: int = 0
    straight: int = 0


BASE = Scenario()
CLEAN = replace(BASE, strong=0, subtle=0, sinkers=0)
MANY_FIVES = (0.01, 0.015, 0.035, 0.09, 0.85)
SCENARIOS = {
    "base": BASE,
    "clean": CLEAN,
    "strong": replace(CLEAN, strong=6),
    "subtle": replace(CLEAN, subtle=6),
    "sinking": replace(CLEAN, sinkers=7),
    "weak_severity": replace(BASE, severity=0.3),
    "strong_severity": replace(BASE, severity=1.2),
    "monthly": replace(BASE, per_ratee=10.0),
    "high_volume": replace(BASE, per_ratee=41.0),
    "twelve_months": replace(BASE, months=12),
    "many_fives": replace(BASE, shares=MANY_FIVES),
    "two_partners": replace(BASE, partners=2),
    "no_crossing": replace(BASE, crossing=0.0),
    "ring": replace(CLEAN, rings=4),
    "retaliation": replace(CLEAN, retaliators=24),
    "severity_shift": replace(CLEAN, shifted=8),
    "straight_line": replace(CLEAN, straight=6),
}


@dataclass(frozen=True)
class Company:
    """Ratings and the truth behind them.

    Attributes:
        ratings: rating_id, process_key, period, rated_on, rater_id, ratee_id, score.
        quality: of each person, by id - 1.
        severity: likewise.
        p_five: share of fives that an average rater of the company would give each person, likewise.
        strong, subtle: planted pairs, smaller id first.
        sinkers, ring, retaliation: planted (rater, ratee).
        shifted, straight: planted raters.
    """

    ratings: pd.DataFrame
    quality: npt.NDArray[np.float64]
    severity: npt.NDArray[np.float64]
    p_five: npt.NDArray[np.float64]
    strong: list[tuple[int, int]] = field(default_factory=list)
    subtle: list[tuple[int, int]] = field(default_factory=list)
    sinkers: list[tuple[int, int]] = field(default_factory=list)
    ring: list[tuple[int, int]] = field(default_factory=list)
    retaliation: list[tuple[int, int]] = field(default_factory=list)
    shifted: list[int] = field(default_factory=list)
    straight: list[int] = field(default_factory=list)

    @property
    def colluders(self) -> set[int]:
        """People of the planted pairs."""
        return {person for pair in (*self.strong, *self.subtle) for person in pair}


def _partners(count: int, rng: np.random.Generator, people: int) -> npt.NDArray[np.int64]:
    """Whom everybody works with: people of the other department of the pair; partners are partners both ways."""
    department = np.arange(people) % DEPARTMENTS
    found = np.zeros((people, count), dtype=np.int64)
    for first in range(0, DEPARTMENTS, 2):
        ours, theirs = (np.flatnonzero(department == number) for number in (first, first + 1))
        places = rng.permutation(len(theirs))
        for at, step in enumerate(rng.choice(len(ours), count, replace=False)):
            # Shifted by another step each time, nobody is a partner twice.
            met = theirs[np.roll(places, step)]
            found[ours, at] = met
            found[met, at] = ours
    return found


def _work(
    scenario: Scenario, rng: np.random.Generator, partners: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Who is rated by whom, a rating each."""
    people = scenario.people
    busy = rng.lognormal(-(0.6**2) / 2, 0.6, people)
    count = rng.poisson(scenario.per_ratee * scenario.months / 6 * busy)
    ratee = np.repeat(np.arange(people), count)
    close = rng.dirichlet(np.full(scenario.partners, 2.0), people)
    choice = (rng.random(len(ratee))[:, None] > np.cumsum(close, axis=1)[ratee]).sum(axis=1)
    rater = partners[ratee, np.minimum(choice, scenario.partners - 1)]
    # Somebody of another department: never oneself.
    stranger = (ratee + rng.integers(1, people, len(ratee))) % people
    return ratee, np.where(rng.random(len(ratee)) < scenario.crossing, stranger, rater)


def _ids(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(one + 1, two + 1) for one, two in pairs]


def _answer_back(
    rows: pd.DataFrame, retaliators: npt.NDArray[np.int64], days: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Makes some people answer a low score with a 1 or 2 within two weeks, if they rate the other at all.

    Args:
        rows: rater, ratee, score, when (day, from 0); changed in place.
        retaliators: who answers.
        days: length of the window: an answer after its end is none.
        rng: chance.

    Returns:
        (who answered, whom), each once.
    """
    planted: set[tuple[int, int]] = set()
    rater, ratee, score, when = (rows[name].to_numpy().copy() for name in ("rater", "ratee", "score", "when"))
    answers: set[int] = set()
    for insult in np.flatnonzero(np.isin(ratee, retaliators) & (score <= 3)).tolist():
        own = np.flatnonzero((rater == ratee[insult]) & (ratee == rater[insult]))
        own = own[~np.isin(own, [*answers])]
        at = when[insult] + int(rng.integers(1, 15))
        if len(own) and at < days and insult not in answers:
            answer = int(rng.choice(own))
            when[answer], score[answer] = at, rng.integers(1, 3)
            answers.add(answer)
            planted.add((int(rater[answer]), int(ratee[answer])))
    rows["score"], rows["when"] = score, when
    return sorted(planted)


def simulate(scenario: Scenario, seed: int) -> Company:
    """Makes up a company; the same seed gives the same one."""
    rng = np.random.default_rng([seed, 20261124])
    n = scenario.people
    quality = rng.normal(0.0, scenario.quality, n)
    severity = rng.normal(0.0, scenario.severity, n)
    chance = 0.9
    total = float(np.hypot(np.hypot(scenario.quality, scenario.severity), chance))
    cuts = norm.ppf(np.cumsum(scenario.shares)[:-1]) * total
    p_five = norm.sf((cuts[-1] - quality[:, None] + severity[None, :]) / chance).mean(axis=1)

    partners = _partners(scenario.partners, rng, n)
    special = rng.permutation(n)
    taken = 0

    def pick(count: int) -> npt.NDArray[np.int64]:
        """People who are not planted yet."""
        nonlocal taken
        taken += count
        return special[taken - count : taken]

    ratee, rater = _work(scenario, rng, partners)
    fixed = np.zeros(len(ratee), dtype=np.int64)
    share: dict[tuple[int, int], float] = {}
    pairs: dict[str, list[tuple[int, int]]] = {"strong": [], "subtle": []}
    for kind, count, part in (("strong", scenario.strong, 0.35), ("subtle", scenario.subtle, 0.10)):
        for first in pick(count).tolist():
            second = int(rng.choice(np.setdiff1d(partners[first], special[:taken])))
            special = np.concatenate([special[:taken], [second], special[taken:][special[taken:] != second]])
            pick(1)
            pairs[kind].append((min(first, second), max(first, second)))
            share[first, second] = share[second, first] = part
    circle: list[tuple[int, int]] = []
    for _ in range(scenario.rings):
        a, b, c = pick(3).tolist()
        for one, two in ((a, b), (b, c), (c, a)):
            circle.append((one, two))
            share[one, two] = 0.25
    for (one, two), part in share.items():
        moved = (ratee == two) & (rng.random(len(ratee)) < part)
        rater[moved] = one
        lacking = 2 - int(((ratee == two) & (rater == one)).sum())
        if lacking > 0:
            # Whoever trades fives has given some: a pair without ratings would be one in name only.
            rater[np.flatnonzero((ratee == two) & (rater != one))[:lacking]] = one
        fixed[(ratee == two) & (rater == one)] = 5
    sinking = []
    for one in pick(scenario.sinkers).tolist():
        victims = np.setdiff1d(np.unique(ratee[rater == one]), [*special[:taken]])
        if not len(victims):
            continue
        two = int(rng.choice(victims))
        own = np.flatnonzero(ratee == two)
        moved = rng.choice(own, min(len(own), max(3, round(0.15 * len(own)))), replace=False)
        moved = moved[fixed[moved] == 0]
        rater[moved] = one
        fixed[(ratee == two) & (rater == one)] = -1
        sinking.append((one, two))

    when = rng.integers(0, scenario.months * 28, len(ratee))
    shifted = pick(scenario.shifted)
    straight = pick(scenario.straight)
    stricter = np.isin(rater, shifted) & (when >= scenario.months * 14)
    latent = quality[ratee] - severity[rater] - stricter + rng.normal(0.0, chance, len(ratee))
    score = 1 + np.searchsorted(cuts, latent)
    score = np.where(fixed > 0, 5, np.where(fixed < 0, rng.integers(1, 3, len(ratee)), score))
    score = np.where(np.isin(rater, straight[::2]), 5, np.where(np.isin(rater, straight[1::2]), 4, score))
    rows = pd.DataFrame({"rater": rater, "ratee": ratee, "score": score, "when": when})
    answers = _answer_back(rows, pick(scenario.retaliators), scenario.months * 28, rng)
    rows = rows.sort_values("when", kind="stable", ignore_index=True)
    month, day = np.divmod(rows["when"].to_numpy(), 28)
    starts = pd.period_range(START, periods=scenario.months, freq="M").start_time
    ratings = pd.DataFrame(
        {
            "rating_id": np.arange(1, len(rows) + 1),
            "process_key": "work",
            "period": starts.date[month],
            "rated_on": (starts[month] + pd.to_timedelta(day, unit="D")).date,
            "rater_id": rows["rater"] + 1,
            "ratee_id": rows["ratee"] + 1,
            "score": rows["score"],
        }
    )
    return Company(
        ratings,
        quality,
        severity,
        p_five,
        strong=_ids(pairs["strong"]),
        subtle=_ids(pairs["subtle"]),
        sinkers=_ids(sinking),
        ring=_ids(circle),
        retaliation=_ids(answers),
        shifted=(shifted + 1).tolist(),
        straight=(straight + 1).tolist(),
    )
