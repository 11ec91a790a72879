"""The bench of scores on small companies: what it prints can be read, and what it measures can tell good from bad."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import ordinal, scoring
from benchmarks.simulation import BASE, CLEAN, SCENARIOS, simulate

SMALL = {"base": replace(BASE, people=48, strong=1, subtle=1, sinkers=1), "clean": replace(CLEAN, people=48)}
OF_BASE = [
    *("spearman", "spearman_mean", "spearman_eb", "top_decile", "coverage90"),
    *("rule_precision", "rule_recall", "rule_below_median", "colluders_recommended"),
    *("auc_reciprocal_strong", "auc_reciprocal_subtle", "auc_sinking"),
    *("clean_alerts_reciprocal", "clean_alerts_sinking"),
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, scenario in SCENARIOS.items():
        monkeypatch.setitem(SCENARIOS, name, SMALL.get(name, replace(scenario, people=48, strong=1, subtle=1)))


@pytest.mark.usefixtures("small")
def test_json_is_one_object_by_scenario_with_numbers_for_all_that_is_promised(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["scoring.py", "--seeds", "3", "--scenarios", "base", "--json"])
    scoring.main()
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["base"]
    assert all(isinstance(printed["base"][name], float) for name in OF_BASE)
    assert all(0 <= printed["base"][name] <= 1 for name in OF_BASE if not name.startswith("clean_"))
    assert printed["base"]["spearman"] > printed["base"]["spearman_eb"]


def test_a_scenario_that_does_not_exist_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["scoring.py", "--scenarios", "bass"])
    with pytest.raises(SystemExit):
        scoring.main()
    assert "bass" in capsys.readouterr().err


def test_the_same_seed_makes_the_same_company_and_another_one_does_not() -> None:
    first, again, other = (simulate(SMALL["base"], seed).ratings for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_planted_cheats_are_in_the_ratings() -> None:
    company = simulate(replace(BASE, people=48, strong=2, subtle=2, sinkers=2), 5)
    ratings = company.ratings
    assert (ratings["rater_id"] != ratings["ratee_id"]).all()
    for one, two in [*company.strong, *company.subtle]:
        for rater, ratee in ((one, two), (two, one)):
            given = ratings[ratings["rater_id"].eq(rater) & ratings["ratee_id"].eq(ratee)]["score"]
            assert len(given) >= 2
            assert given.eq(5).all()
    for rater, ratee in company.sinkers:
        assert ratings[ratings["rater_id"].eq(rater) & ratings["ratee_id"].eq(ratee)]["score"].le(2).all()


def test_truth_is_the_share_of_fives_from_raters_of_all_kinds() -> None:
    company = simulate(replace(CLEAN, people=80, crossing=1.0, per_ratee=400.0), 2)
    told = company.ratings["score"].eq(5).groupby(company.ratings["ratee_id"]).mean()
    assert np.abs(told.to_numpy() - company.p_five).max() < 0.12
    assert np.corrcoef(told, company.p_five)[0, 1] > 0.97


def test_a_planted_pair_that_is_no_candidate_ranks_last() -> None:
    strengths = pd.DataFrame({"rater_id": [1, 1, 2], "ratee_id": [2, 3, 3], "strength": [3.0, 2.0, 1.0]})
    assert scoring.auc(strengths, {(1, 2)}) == 1.0
    assert scoring.auc(strengths, {(1, 3)}) == 0.5
    assert scoring.auc(strengths, {(1, 2), (8, 9)}) == 0.5


def test_nobody_recommended_has_precision_zero() -> None:
    tally = scoring.Tally()
    tally.add(set(), {1, 2})
    assert (tally.precision, tally.recall) == (0.0, 0.0)
    tally.add({1, 3}, {1, 2})
    assert (tally.precision, tally.recall) == (0.5, 0.25)


def test_the_yardstick_finds_who_is_better_than_his_lenient_raters_make_others_look() -> None:
    company = simulate(SMALL["clean"], 4)
    limit = ordinal.fit(company.ratings)
    truth = company.quality[limit.ratees - 1]
    mean = company.ratings.groupby("ratee_id")["score"].mean()
    assert np.corrcoef(limit.effect, truth)[0, 1] > np.corrcoef(mean, truth)[0, 1]
    assert (np.abs(limit.effect - truth) < 3.5 * limit.deviation).all()
