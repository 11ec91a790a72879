"""The whole suite on two companies of the demo's size, and what its verdicts mean."""

from __future__ import annotations

import pytest

from pipelines.audit.company import made_up
from pipelines.audit.evidence import Release, all_looked_at, interval, measured, none_allowed
from pipelines.audit.suite import inside, of_releases, of_rules
from sources.stand_in.company import generate
from sources.stand_in.state import PortalState
from tests.audit.conftest import MONTHS, NOW, PROCESSES


def test_every_attack_fails_against_the_rules(state: PortalState, company: Release) -> None:
    states = [state, generate(32, "demo", NOW)]
    companies = [company, made_up(states[1], months=MONTHS, processes=(*PROCESSES, "contracts"))]
    results = [*of_releases(companies, states), *of_rules(states[0])]
    assert [result for result in results if not result.passed] == []
    assert len(results) >= 17
    assert all(inside(company) >= 0.7 for company in companies)


@pytest.mark.slow
def test_every_attack_fails_against_many_companies() -> None:
    states = [generate(seed, "demo", NOW) for seed in range(40, 46)]
    companies = [made_up(one) for one in states]
    results = of_releases(companies, states)
    assert [result for result in results if not result.passed] == []
    assert all(
        result.trials >= 3000 for result in results if result.attack.split()[0] in {"A2", "A3", "A4", "A5", "A7"}
    )


def test_an_attack_that_was_hardly_tried_has_not_failed() -> None:
    assert not none_allowed("x", 0, 100).passed
    assert none_allowed("x", 0, 3000).passed
    assert not none_allowed("x", 1, 1_000_000).passed
    assert not measured("x", 0, 0, 0.0, 0.1).passed


def test_the_bound_is_one_sided_and_counts_from_the_baseline() -> None:
    found = measured("x", 420, 1000, 0.42, 0.05)
    assert found.advantage == pytest.approx(0.0)
    # Clopper-Pearson, 95 %: 420 of 1000 may be 0.4463 (R: binom.test(420, 1000, alternative = "less")).
    assert found.bound == pytest.approx((0.4463 - 0.42) / 0.58, abs=2e-4)
    assert not all_looked_at("x", 1, 10).passed


def test_a_band_that_is_not_rounded_is_read_exactly() -> None:
    assert interval("<= 3.00") == (1.0, 3.125)
    assert interval(">= 4.75") == (4.625, 5.0)
    assert interval("4.25") == (4.125, 4.375)
    assert interval("4.1875") == (4.1875, 4.1875)
