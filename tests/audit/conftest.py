"""One released company for all attacks, and the ways to weaken it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from random import Random

import pandas as pd
import pytest

from assets.rules.disclosure import PROFILES, REGISTER_COLUMNS, ProfileName, plan
from assets.rules.hidden import HiddenState
from pipelines.audit.company import made_up
from pipelines.audit.evidence import Release, Truth
from sources.stand_in.company import generate
from sources.stand_in.state import MOSCOW, PortalState

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=MOSCOW)
MONTHS = 6
PROCESSES = ("production", "logistics", "production_back")


@pytest.fixture(scope="session")
def state() -> PortalState:
    return generate(31, "demo", NOW)


@pytest.fixture(scope="session")
def company(state: PortalState) -> Release:
    """Six months of a demo company, released month by month with edits in between."""
    return made_up(state, months=MONTHS, processes=PROCESSES)


def invented(ratings: list[dict[str, object]]) -> Truth:
    """The truth of a few ratings written down by hand."""
    plain = {
        "process_key": "p",
        "rater_department_id": 1,
        "ratee_department_id": 2,
        "task_id": 0,
        "comment": "",
        "exclusion_code": "",
        "is_counted": True,
        "mode": "aggregate",
        "is_viewer": False,
        "since": 0,
        "until": 10**6,
    }
    rows = pd.DataFrame([plain | {"rating_id": number} | row for number, row in enumerate(ratings, 1)])
    rows = rows.assign(score=rows["score"].astype("float64"))
    rows = rows if "rated_on" in rows else rows.assign(rated_on=rows["period"])
    return Truth(rows, {"p": set(rows["period"])})


def sticky(ratees: int, months: int, seed: int = 1) -> Truth:
    """The company that privacy.md measured broken designs on: 2 to 10 ratings a month from a pool of 2 to 9 raters."""
    chance = Random(seed)
    ratings: list[dict[str, object]] = []
    for ratee in range(1, ratees + 1):
        pool = chance.sample(range(1000, 1000 + 2 * ratees), chance.randint(2, 9))
        for month in range(1, months + 1):
            for _ in range(chance.randint(2, 10)):
                rater = chance.choices(pool, [1 / rank for rank in range(1, len(pool) + 1)])[0]
                ratings.append(
                    {
                        "ratee_id": ratee,
                        "rater_id": rater,
                        "period": date(2026, month, 1),
                        "rated_on": date(2026, month, chance.randint(1, 28)),
                        "score": chance.choices(range(1, 6), [2, 3, 8, 17, 70])[0],
                        "ratee_department_id": 100 + ratee % 4,
                        "rater_department_id": 200 + rater % 3,
                    }
                )
    return invented(ratings)


def planned(truth: Truth, profile: ProfileName) -> Release:
    """Blocks and pairs that the real rules release of invented ratings."""
    decided = plan(
        "p",
        truth.hidden,
        pd.DataFrame(columns=list(REGISTER_COLUMNS)),
        pd.DataFrame(columns=["ratee_id", "block_from", "block_to"]),
        set(),
        [date(2026, month, 1) for month in range(1, 4)],
        PROFILES[profile],
        b"seal" * 8,
    )
    nothing = HiddenState.empty()
    parts = {
        name: getattr(nothing, name) for name in ("rows", "comments", "reasons", "violations", "coverage", "bands")
    }
    return Release("planned", profile, decided.blocks, decided.pairs, truth=truth, **parts)


def weakened(release: Release, **frames: object) -> Release:
    """The release with some of its parts as another pipeline would have published them."""
    return replace(release, **frames)  # type: ignore[arg-type]
