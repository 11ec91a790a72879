"""The attack suite: which attacks are run against what, and how it is shown.

Belongs here: the order of attacks, the companies whose trials are pooled, the table. Does not belong here: how an
attack works (`numeric.py`, `bands.py`, `linkage.py`, `texts.py`, `stores.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from random import Random

import pandas as pd
from rich.console import Console
from rich.table import Table

from pipelines.audit import bands, linkage, numeric, stores, texts
from pipelines.audit.company import (
    departments_of,
    employees_of,
    expected_of,
    made_up,
    more_rows,
    redactor_of,
    tightened,
    truth_of,
)
from pipelines.audit.evidence import Release, Result, Truth, members, numbers
from pipelines.audit.published import Published, demo_company, read
from pipelines.settings import Settings
from sources.stand_in.company import generate
from sources.stand_in.state import PortalState

SHOWN = ("attack", "baseline", "advantage", "bound", "pass_level", "passed")

MONTHS = 8
SEEDS = 2
"""Companies besides the demo's own whose trials are pooled."""

PROCESSES = ("production", "production_back", "logistics", "contracts")
"""What is released of them: every hidden mode but department_only, and the largest numbers of ratings."""
SMALL = ("contracts_back", "production_back")
"""What is released again and again: policy changes, planted scores."""


@dataclass(frozen=True)
class Report:
    """What the suite found.

    Attributes:
        results: one per attack.
        left_out: attacks that were not run, and why.
        inside: share of hidden ratings of closed months that stand in a released block or pair; None without truth.
    """

    results: list[Result]
    left_out: list[str]
    inside: float | None

    @property
    def passed(self) -> bool:
        """Whether every attack failed."""
        return all(result.passed for result in self.results)

    def listed(self) -> list[dict[str, object]]:
        """What `--json` prints."""
        return [{name: asdict(result)[name] for name in SHOWN} for result in self.results]


def attack(settings: Settings, seeds: int = SEEDS, progress: Callable[[str], None] = lambda _: None) -> Report:
    """Runs every attack that the company allows.

    Args:
        settings: of the company.
        seeds: made-up companies whose trials are pooled with the demo's.
        progress: is told what is being done.
    """
    progress("reading what is published")
    state = demo_company(settings)
    published = read(settings, None if state is None else _truth(state))
    results = of_warehouse(published)
    if state is None:
        why = "nobody knows what the hidden ratings of this company really say; the demo's company has all attacks"
        results += _without_truth(published.release)
        return Report(results, [f"{names}: {why}" for names in NEED_TRUTH], None)
    progress(f"releasing {seeds} more companies of the demo's kind")
    others = [generate(_seed(state) + number, "demo", state.now) for number in range(1, seeds + 1)]
    released = [made_up(other, months=MONTHS, processes=PROCESSES) for other in others]
    progress("attacking")
    results += [
        _canaries(settings, published, state),
        bands.inner_values(published.fractions, published.release.known, published.release.bands),
        *of_releases([published.release, *released], [state, *others]),
        *of_rules(others[0]),
    ]
    return Report(sorted(results, key=_number), [], inside(published.release))


def _truth(state: PortalState) -> Truth:
    truth = truth_of(state)
    return replace(truth, expected=expected_of(state, truth.ratings))


NEED_TRUTH = ("A2", "A3", "A4", "A5", "A6c", "A7", "A8", "A9 (order of rows)", "A10", "A13", "A14", "A15a-d and h")


def _seed(state: PortalState) -> int:
    return 100 + len(state.users)


def _number(result: Result) -> tuple[int, str]:
    name = result.attack.split()[0].removeprefix("A")
    return int("".join(char for char in name if char.isdigit())), result.attack


def of_warehouse(published: Published) -> list[Result]:
    """Attacks that need nothing but what is published."""
    return [
        linkage.dictionary(published.digests, published.people, published.salts),
        stores.parts(published.parts),
        stores.privileges(),
        numeric.mixed_totals(published.open_rows, published.totals),
        bands.figures(published.scores),
        # Ratings of a real company may have been edited since their half-year was frozen.
        bands.named_figures(published.scores, published.named_rows, with_frozen=published.release.truth is not None),
        bands.inner_columns(published.number_columns),
    ]


def _without_truth(release: Release) -> list[Result]:
    results = [numeric.bonus([release]), linkage.linked_scopes([release])]
    return results + ([linkage.unique_volumes([release])] if len(release.rows) else [])


def of_releases(releases: list[Release], states: list[PortalState]) -> list[Result]:
    """Attacks on what is published of companies whose truth is known; trials are pooled."""
    redactors = [
        redactor_of(employees_of(state), tuple(sorted(set(departments_of(state)["name"])))) for state in states
    ]
    return [
        linkage.task_linkage(releases),
        numeric.small_cells(releases),
        numeric.refreshes(releases),
        numeric.linear_programmes(releases),
        linkage.linked_scopes(releases),
        linkage.unique_volumes(releases),
        linkage.matched_histograms(_other_months(releases, states)),
        numeric.proofs(releases),
        texts.left_names(redactors[0], employees_of(states[0]), _chance(1)),
        texts.left_strangers(redactors[0], _chance(2)),
        texts.signatures(releases),
        texts.style(releases, redactors),
        texts.counts(releases),
        linkage.row_order([linkage.published_order(release) for release in releases], linkage.crowd_order(_chance(3))),
        numeric.bonus(releases),
        bands.widths(releases),
        bands.one_rater(releases),
        bands.proofs(releases),
        bands.rows_of_bands(releases),
    ]


def _other_months(releases: list[Release], states: list[PortalState]) -> list[Release]:
    """Pseudonymous rows of the months that were not released with known keys: matching needs many pairs of months."""
    found = []
    for release, state in zip(releases, states, strict=True):
        truth = release.known if not release.known.rater_of else truth_of(state)
        shown = set(release.rows["period"]) if release.known.rater_of else set()
        months = truth.closed["production"] - shown if "production" in truth.closed else set()
        rest = more_rows(state, truth, months, b"other months")
        if shown:
            rest = replace(rest, rows=pd.concat([release.rows, rest.rows], ignore_index=True))
            rest = replace(rest, truth=replace(truth, rater_of=rest.known.rater_of | release.known.rater_of))
        found.append(rest)
    return found


def of_rules(state: PortalState) -> list[Result]:
    """Attacks on what the rules do in cases that a company need not have."""
    plain = made_up(state, months=MONTHS, processes=SMALL, edited=0.0)
    planted = made_up(state, months=MONTHS, processes=SMALL, edited=0.0, texts=False, planted=True)
    return [
        texts.order(texts.crowd_comments(_chance(4))),
        numeric.policy_change(*tightened(state, plain, SMALL)),
        numeric.presence([(plain, planted)]),
    ]


def _chance(seed: int) -> Random:
    """What generated cases are drawn from: the same ones in every run."""
    return Random(seed)  # noqa: S311 - cases, not secrets


def _canaries(settings: Settings, published: Published, state: PortalState) -> Result:
    ratings = published.release.known.ratings
    shown = "\n".join(published.texts)
    is_hidden = ~ratings["mode"].isin(["open", "named_to_hr"])
    titles = [str(state.tasks[task]["title"]) for task in ratings.loc[is_hidden, "task_id"] if task in state.tasks]
    named = {str(state.tasks[task]["title"]) for task in ratings.loc[~is_hidden, "task_id"] if task in state.tasks}
    secrets = {text for text in ratings.loc[is_hidden, "comment"] if len(text) >= stores.LONG_ENOUGH}
    secrets = {text for text in (secrets | set(titles)) - named if text not in shown}
    people = {str(user.get("LAST_NAME") or "") for user in state.users.values()} - {""}
    folder = settings.state_path
    return stores.canaries(folder, secrets, people, [folder / "dagster"])


def inside(release: Release) -> float:
    """Share of the hidden ratings of closed months that stand in a released block or pair."""
    hidden = release.known.hidden
    behind = members(numbers(release.blocks, release.pairs), release.known)
    return behind["version"].nunique() / max(len(hidden), 1)


def show(console: Console, report: Report) -> None:
    """Prints the table."""
    table = Table(title="Attacks", title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("attack", "trials", "baseline", "advantage", "bound", "allowed", ""):
        table.add_column(name, justify="left" if name in {"attack", ""} else "right", no_wrap=True)
    for result in report.results:
        table.add_row(
            result.attack,
            str(result.trials),
            f"{result.baseline:.3f}",
            f"{result.advantage:.3f}",
            f"{result.bound:.4f}",
            f"{result.pass_level:.3f}",
            "[green]ok[/green]" if result.passed else "[red]FAIL[/red]",
        )
    console.print(table)
    for result in report.results:
        if not result.passed:
            console.print(f"[red]FAIL[/red] {result.attack}: {result.note}", soft_wrap=True)
    failed = sum(not result.passed for result in report.results)
    console.print(
        f"{len(report.results)} attacks, {failed} succeeded."
        if failed
        else f"All {len(report.results)} attacks failed."
    )
