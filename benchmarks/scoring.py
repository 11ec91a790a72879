"""How well scores, bands and signals find what is true in made-up companies.

    python benchmarks/scoring.py [--seeds 1,2,3] [--scenarios base,clean] [--json] [--yardstick]

Every company is made by `simulation.py`, which knows the truth; the product's own functions see the ratings only.
Ranks, top tenth and coverage are of ratees with 5 ratings and 3 raters or more, against the share of fives that an
average rater of the company would give them; means over the seeds. The rule is judged on everybody: it recommends
whoever has the band `ABOVE`, right are those of the true top fifth. Its figures, and precision and recall of the
signals, are pooled over the seeds, because a company of which nobody is recommended has no precision; a ratio of
nothing to nothing is 0, in JSON as well. Where there are alerts, planted is a pair whatever its number of ratings: a
pair too rare for the signal counts as missed.

`base` in JSON holds `auc_*` and `clean_alerts_*` of their own scenarios with the same seeds. AUC is of all candidates
of a signal; a planted pair that is no candidate ranks last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata, spearmanr

from assets.rules import scoring, signals
from benchmarks import ordinal
from benchmarks.simulation import SCENARIOS, Company, simulate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Pair = tuple[int, int]

AUC_SCENARIOS = {"reciprocal_strong": "strong", "reciprocal_subtle": "subtle", "sinking": "sinking"}
TOP_SHARE = 0.2
"""Whoever is in this part of the true ranking deserves to be recommended."""


@dataclass
class Tally:
    """What is pooled over companies: people or pairs found, those of them that are right, and all that were there."""

    found: int = 0
    right: int = 0
    there: int = 0

    def add(self, found: AbstractSet[object], there: AbstractSet[object]) -> None:
        """Counts what was found in one company where this was there."""
        self.found += len(found)
        self.right += len(found & there)
        self.there += len(there)

    @property
    def precision(self) -> float:
        """Part of the found that is right; 0 if nothing was found."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Part of what was there that was found; 0 if nothing was there."""
        return self.right / self.there if self.there else 0.0


class Rule:
    """People that a rule names, pooled over companies.

    Args:
        best: whether it ought to name the true top fifth; else the bottom fifth.
    """

    def __init__(self, *, best: bool = True) -> None:
        self.best = best
        self.right = Tally()
        self.other_half = 0
        self.colluders = 0

    def add(self, people: Ints, company: Company) -> None:
        """Judges whom the rule names in one company, by id."""
        truth = company.p_five if self.best else -company.p_five
        wanted = np.argsort(-truth, kind="stable")[: round(TOP_SHARE * len(truth))] + 1
        named = {*people.tolist()}
        self.right.add(named, {*wanted.tolist()})
        self.other_half += int((truth[people - 1] < np.median(truth)).sum())
        self.colluders += len(named & company.colluders)

    def figures(self, name: str, companies: int) -> dict[str, float]:
        """Figures under `name_...`; people are those of an average company."""
        return {
            f"{name}_people": self.right.found / companies,
            f"{name}_precision": self.right.precision,
            f"{name}_recall": self.right.recall,
            f"{name}_{'below' if self.best else 'above'}_median": self.other_half / max(self.right.found, 1),
        }


def planted(company: Company) -> dict[str, set[Pair]]:
    """(rater, ratee) that each signal ought to find; ratee 0 where it is about a rater alone."""
    return {
        "reciprocal": {*company.strong, *company.subtle},
        "sinking": {*company.sinkers},
        "ring": {*company.ring},
        "retaliation": {*company.retaliation},
        "severity_shift": {(rater, 0) for rater in company.shifted},
        "straight_line": {(rater, 0) for rater in company.straight},
    }


def pairs_of(found: pd.DataFrame, signal: str) -> set[Pair]:
    rows = found[found["signal_type"].eq(signal)]
    return {*zip(rows["rater_id"].tolist(), rows["ratee_id"].tolist(), strict=True)}


def empirical_bayes(scores: pd.DataFrame, grand_mean: float, within: float) -> Floats:
    """(n * mean + k * grand mean) / (n + k), with k of the method of moments."""
    n, mean = scores["ratings"].to_numpy(dtype="float64"), scores["mean_score"].to_numpy(dtype="float64")
    between = max(float(mean.var(ddof=1) - (within / n).mean()), 1e-6)
    k = within / between
    return np.asarray((n * mean + k * grand_mean) / (n + k), dtype="float64")


def top_hits(estimate: Floats, truth: Floats, share: float) -> float:
    """Part of the true top that the estimate names."""
    count = max(1, round(share * len(truth)))
    best = {*np.argsort(-truth, kind="stable")[:count].tolist()}
    return len(best & {*np.argsort(-estimate, kind="stable")[:count].tolist()}) / count


def auc(strengths: pd.DataFrame, positive: set[Pair]) -> float:
    """Chance that a planted pair is stronger than a candidate which is none; one that is no candidate ranks last."""
    strength = dict(
        zip(
            zip(strengths["rater_id"].tolist(), strengths["ratee_id"].tolist(), strict=True),
            strengths["strength"].tolist(),
            strict=True,
        )
    )
    keys = [*strength, *(positive - strength.keys())]
    ranks = rankdata([strength.get(key, -np.inf) for key in keys])
    is_positive = np.array([key in positive for key in keys])
    right, wrong = int(is_positive.sum()), int((~is_positive).sum())
    return float((ranks[is_positive].sum() - right * (right + 1) / 2) / (right * wrong)) if right and wrong else 0.5


class Measured:
    """All companies of one scenario, measured one after the other."""

    def __init__(self, *, yardstick: bool) -> None:
        self.means: dict[str, list[float]] = {}
        self.rules = {"rule": Rule(), "low": Rule(best=False), "naive": Rule()}
        self.signals = {name: Tally() for name in planted(simulate(SCENARIOS["clean"], 0))}
        self.companies = 0
        self.yardstick = yardstick
        if yardstick:
            self.rules["ordinal_rule"] = Rule()

    def add(self, company: Company) -> None:
        """Scores one company and judges it."""
        ratings = company.ratings
        fit = scoring.fit(ratings)
        experimental = [name for name, signal in signals.SIGNALS.items() if signal.is_experimental]
        found = signals.find(ratings, fit, experimental=experimental)
        default = found[~found["is_experimental"].astype(bool)]
        scores = scoring.score(ratings, fitted=fit, flagged=signals.flagged_pairs(default, fit))
        self.companies += 1
        self._ranks(company, scores)
        for name, rows in (
            ("rule", scores["band"].eq(scoring.ABOVE)),
            ("low", scores["band"].eq(scoring.BELOW)),
            ("naive", scores["mean_score"].ge(4.8) & scores["ratings"].ge(3)),
        ):
            self.rules[name].add(scores.loc[rows, "ratee_id"].to_numpy(dtype="int64"), company)
        there = planted(company)
        for name, tally in self.signals.items():
            tally.add(pairs_of(found, name), there[name])

    def _ranks(self, company: Company, scores: pd.DataFrame) -> None:
        is_told = (scores["ratings"].ge(5) & scores["raters"].ge(3)).to_numpy()
        told = scores[is_told]
        truth = company.p_five[told["ratee_id"].to_numpy(dtype="int64") - 1]
        ratings = company.ratings
        within = float((ratings["score"] - ratings.groupby("ratee_id")["score"].transform("mean")).pow(2).sum())
        within /= len(ratings) - len(scores)
        estimates = {
            "": told["adjusted_share"].to_numpy(dtype="float64"),
            "_sensitivity": told["sensitivity_share"].fillna(told["component_share"]).to_numpy(dtype="float64"),
            "_mean": told["mean_score"].to_numpy(dtype="float64"),
            "_eb": empirical_bayes(scores, float(ratings["score"].mean()), within)[is_told],
        }
        if self.yardstick:
            limit = ordinal.fit(ratings)
            place = np.searchsorted(limit.ratees, told["ratee_id"].to_numpy(dtype="int64"))
            estimates["_ordinal"] = limit.effect[place]
            lower = limit.effect - scoring.Z * limit.deviation
            named = limit.ratees[(lower > 0) & scores["band"].ne(scoring.INSUFFICIENT).to_numpy()]
            self.rules["ordinal_rule"].add(named, company)
        for name, estimate in estimates.items():
            self._mean(f"spearman{name}", float(spearmanr(estimate, truth).statistic))
            self._mean(f"top_decile{name}", top_hits(estimate, truth, 0.1))
        low, high = told["lower_bound"].to_numpy(), told["upper_bound"].to_numpy()
        self._mean("coverage90", float(((low <= truth) & (truth <= high)).mean()))

    def _mean(self, name: str, value: float) -> None:
        self.means.setdefault(name, []).append(value)

    def figures(self) -> dict[str, Any]:
        """Everything by name; `signals` by signal."""
        rule = self.rules["rule"]
        return {
            **{name: float(np.mean(values)) for name, values in self.means.items()},
            **{
                key: value
                for name, one in self.rules.items()
                for key, value in one.figures(name, self.companies).items()
            },
            "colluders_recommended": rule.colluders / max(rule.right.found, 1),
            "signals": {
                name: {"alerts": one.found / self.companies, "precision": one.precision, "recall": one.recall}
                for name, one in self.signals.items()
            },
        }


def measure_auc(signal: str, scenario: str, seeds: Iterable[int]) -> float:
    """Mean AUC of a signal over the companies of its scenario."""
    found = []
    for seed in seeds:
        company = simulate(SCENARIOS[scenario], seed)
        strengths = signals.strengths(company.ratings, scoring.fit(company.ratings), signal)
        found.append(auc(strengths, planted(company)[signal]))
    return float(np.mean(found))


def measure(names: list[str], seeds: list[int], *, yardstick: bool = False) -> dict[str, dict[str, Any]]:
    """Figures by scenario.

    Args:
        names: of `SCENARIOS`.
        seeds: one company each.
        yardstick: whether the ordinal model is measured beside ours.
    """
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        measured = Measured(yardstick=yardstick)
        for seed in seeds:
            measured.add(simulate(SCENARIOS[name], seed))
        result[name] = measured.figures()
    if "base" in result:
        clean = result["clean"]["signals"] if "clean" in result else measure(["clean"], seeds)["clean"]["signals"]
        result["base"] |= {
            f"auc_{name}": measure_auc(name.partition("_")[0], scenario, seeds)
            for name, scenario in AUC_SCENARIOS.items()
        }
        result["base"] |= {f"clean_alerts_{name}": clean[name]["alerts"] for name in ("reciprocal", "sinking")}
    return result


RANKS = ("spearman", "spearman_mean", "spearman_eb", "spearman_sensitivity", "top_decile", "coverage90")
RULE = ("rule_people", "rule_precision", "rule_recall", "rule_below_median", "colluders_recommended")
OTHER_RULES = (
    "low_people",
    "low_precision",
    "low_above_median",
    "naive_people",
    "naive_precision",
    "naive_below_median",
)
YARDSTICK = ("spearman_ordinal", "top_decile_ordinal", "ordinal_rule_people", "ordinal_rule_precision")
YARDSTICK_RULE = ("ordinal_rule_recall", "ordinal_rule_below_median")


def table(columns: tuple[str, ...], rows: dict[str, dict[str, Any]]) -> str:
    """A Markdown table, a scenario a line."""
    head = ["scenario", *(name.replace("_", " ") for name in columns)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {name} | {' | '.join(_figure(row[column]) for column in columns)} |" for name, row in rows.items()]
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if isinstance(value, float) and value < 1 else f"{value:.1f}"


def signal_table(result: dict[str, dict[str, Any]]) -> str:
    """Alerts a company, precision and recall of each signal that a scenario has planted, and alerts of a clean one."""
    lines = ["| scenario | signal | alerts | precision | recall |", "|---|---|---|---|---|"]
    for scenario, row in result.items():
        measured = row["signals"]
        for signal, one in measured.items():
            if scenario == "clean" or one["recall"] > 0:
                figures = (one["alerts"], one["precision"], one["recall"])
                lines.append(f"| {scenario} | {signal} | {' | '.join(_figure(value) for value in figures)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the tables, or with --json the figures by scenario."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="1,2,3", help="a company each; default: %(default)s")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="default: all")
    parser.add_argument("--json", action="store_true", help="print one object by scenario and nothing else")
    parser.add_argument("--yardstick", action="store_true", help="fit the ordinal model as well")
    options = parser.parse_args()
    names = options.scenarios.split(",")
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"unknown scenarios: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    try:
        seeds = [int(seed) for seed in options.seeds.split(",")]
    except ValueError:
        parser.error("--seeds takes whole numbers with commas between, such as 1,2,3")
    result = measure(names, seeds, yardstick=options.yardstick)
    if options.json:
        print(json.dumps(result, ensure_ascii=False, indent=2, allow_nan=False))
        return
    print(f"seeds {options.seeds}: {len(seeds)} companies a scenario\n")
    print(table(RANKS, result), table(RULE, result), table(OTHER_RULES, result), sep="\n\n")
    if options.yardstick:
        print("\n" + table(YARDSTICK + YARDSTICK_RULE, result))
    print("\n" + signal_table(result))
    if "base" in result:
        of_signals = {name: value for name, value in result["base"].items() if name.startswith(("auc_", "clean_"))}
        print("\n" + "\n".join(f"{name} {value:.3f}" for name, value in of_signals.items()))


if __name__ == "__main__":
    main()
