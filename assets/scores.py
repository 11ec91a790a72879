"""Scores of ratees and signals about raters from ratings that are shown by name: one snapshot per half-year.

Belongs here: which half-years there are, which of them are frozen, the memory of frozen ones, taking them over from a
warehouse, figures that a stricter policy takes back. Does not belong here: how ratings become a band
(`rules/scoring.py`) or a signal (`rules/signals.py`), bands of hidden scope (`hidden.py`), statuses and decisions.

A half-year ends with every month, from the first one with ratings to the current one. Until all its months are closed
it is computed anew by every run; then it is frozen: a bonus that was discussed on a figure must find that figure again,
so later edits change facts and not the snapshot. Only what a stricter policy hides leaves it.

    scored, signalled   all half-years, frozen ones as they were
    score_window        which ones are frozen
    score_member        which ratings stand behind which half-year, by month, destroyed with the month
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa

from assets.changes import OtherVersionError, coverage, forgotten, months_between
from assets.crm import OWNERS, read_months
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN, months_back, next_month
from assets.ratings import write_months
from assets.release import (
    JUDGED_COLUMNS,
    RELEASED_COLUMNS,
    RELEASED_EVENT_COLUMNS,
    RELEASED_OBLIGATION_COLUMNS,
    released,
)
from assets.rules import scoring, signals
from assets.rules.policy import NAMED_MODES
from assets.rules.structure import freeze_date
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import Session, Warehouse

logger = logging.getLogger(__name__)

HALF_YEAR = 6
"""Months of a window."""

PLACES = 4
"""Digits of published figures: further ones differ from one processor to the next."""

SCORED_COLUMNS = pa.schema(
    [
        ("ratee_id", pa.int64()),
        ("window_from", pa.date32()),
        ("window_to", pa.date32()),
        ("ratings", pa.int64()),
        ("raters", pa.int64()),
        ("months", pa.int64()),
        ("effective_ratings", pa.float64()),
        ("coverage", pa.float64()),
        ("mean_score", pa.float64()),
        ("share_of_fives", pa.float64()),
        ("adjusted_share", pa.float64()),
        ("lower_bound", pa.float64()),
        ("upper_bound", pa.float64()),
        ("sensitivity_share", pa.float64()),
        ("sensitivity_band", pa.string()),
        ("component", pa.int64()),
        ("component_share", pa.float64()),
        ("band", pa.string()),
        ("explanation", pa.string()),
        ("method_version", pa.string()),
        ("is_frozen", pa.bool_()),
    ]
)
"""The vault dataset `scored`: rows of scope named."""
FIGURES = SCORED_COLUMNS.names[3:-4]
"""What a row loses when the policy hides a rating behind it."""

SIGNALLED_COLUMNS = pa.schema(
    [
        ("signal_type", pa.string()),
        ("title", pa.string()),
        ("rater_id", pa.int64()),
        ("ratee_id", pa.int64()),
        ("window_from", pa.date32()),
        ("window_to", pa.date32()),
        ("ratings", pa.int64()),
        ("strength", pa.float64()),
        ("explanation", pa.string()),
        ("is_experimental", pa.bool_()),
        ("method_version", pa.string()),
        ("is_frozen", pa.bool_()),
    ]
)
"""The vault dataset `signalled`."""

WINDOW_COLUMNS = pa.schema([("window_to", pa.date32())])
"""The vault dataset `score_window`."""

MEMBER_COLUMNS = pa.schema(
    [
        ("window_to", pa.date32()),
        ("process_key", pa.string()),
        ("rating_id", pa.int64()),
        ("period", pa.date32()),
        ("rater_id", pa.int64()),
        ("ratee_id", pa.int64()),
        ("is_counted", pa.bool_()),
    ]
)
"""The vault dataset `score_member`, with the people as they were when the window was computed.

is_counted: it stands behind the ratee's row; the others only behind a signal, as a deleted rating does."""

_ORDER = {
    "scored": ("window_to", "ratee_id"),
    "signalled": ("window_to", "signal_type", "rater_id", "ratee_id"),
    "score_window": ("window_to",),
    "score_member": ("window_to", "process_key", "rating_id", "is_counted", "rater_id", "ratee_id"),
}

IDENTITY = ["process_key", "rating_id"]
PEOPLE = ["rater_id", "ratee_id"]
GIVEN = ["", "unexplained", "deleted"]
"""Exclusion codes of ratings whose people and score are sound."""

HIDDEN_SINCE = "цифры больше не показываются, потому что политика скрыла часть оценок, на которых основан вывод"


@dataclass(frozen=True)
class Scores:
    """Half-years with what stands behind them.

    Attributes:
        scored: rows of `SCORED_COLUMNS`.
        signalled: rows of `SIGNALLED_COLUMNS`.
        members: rows of `MEMBER_COLUMNS`.
        frozen: last months of the half-years that are frozen, those without rows too.
    """

    scored: pd.DataFrame
    signalled: pd.DataFrame
    members: pd.DataFrame
    frozen: frozenset[date]


@dg.asset(
    key=["vault", "scored"],
    deps=[released],
    group_name="scores",
    owners=OWNERS,
    kinds={"python"},
    description="Scores and signals of named ratings by half-year, frozen ones as they were; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def scored(
    portal: dg.ResourceParam[Bitrix24],
    vault: dg.ResourceParam[Vault],
    warehouse: dg.ResourceParam[Warehouse],
    terms: dg.ResourceParam[Terms],
) -> dg.MaterializeResult[None]:
    """Computes the half-years that are not frozen, and freezes those that have closed."""
    today = portal.now.date()
    found = bring_up_to_date(vault, warehouse, terms, today)
    bands = found.scored.loc[found.scored["window_to"].eq(today.replace(day=1)), "band"].value_counts()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found.scored),
            "signals": len(found.signalled),
            "windows_frozen": len(found.frozen),
            **{f"band/{band}": int(bands.get(band, 0)) for band in scoring.BANDS},
        }
    )


def bring_up_to_date(vault: Vault, warehouse: Warehouse, terms: Terms, today: date) -> Scores:
    """Lays down what is known of all half-years, and returns it."""
    before = _remembered(vault, warehouse)
    ratings, destroyed = named_ratings(vault), forgotten(vault)
    kept = _kept(before, destroyed)
    windows = _open_windows(ratings, kept.frozen, destroyed, today)
    found = _joined([kept, *_computed(vault, terms, ratings, windows)])
    found = _without_hidden(vault, _frozen(found, _closed(vault, terms)))
    _write(vault, found)
    logger.info(
        "scores: %d half-years computed, %d frozen now, %d before; %d rows, %d signals",
        len(windows),
        len(found.frozen - before.frozen),
        len(before.frozen),
        len(found.scored),
        len(found.signalled),
    )
    return found


def named_ratings(vault: Vault) -> pd.DataFrame:
    """Counted ratings in mode open or named_to_hr: all that scores and signals of scope named rest on."""
    rows = _released(vault)
    columns = ["process_key", "rating_id", "period", "rated_on", "rater_id", "ratee_id", "score"]
    counted: pd.DataFrame = rows.loc[rows["exclusion_code"].eq("").to_numpy(dtype=bool), columns]
    return counted.astype({"score": "float64"}).sort_values(IDENTITY, ignore_index=True)


def _released(vault: Vault) -> pd.DataFrame:
    rows: pd.DataFrame = read_months(vault, "released", vault.periods("released"), RELEASED_COLUMNS).to_pandas()
    return rows


def read_scores(vault: Vault) -> tuple[pa.Table, pa.Table]:
    """What is published: (rows of `SCORED_COLUMNS`, rows of `SIGNALLED_COLUMNS`)."""
    return _current(vault, "scored", SCORED_COLUMNS), _current(vault, "signalled", SIGNALLED_COLUMNS)


# --- half-years ---------------------------------------------------------------------------------------------------


def _open_windows(
    ratings: pd.DataFrame, frozen: frozenset[date], destroyed: set[date], today: date
) -> list[tuple[date, date]]:
    """Half-years to compute: (first month, last month), oldest first.

    One over a destroyed month cannot be computed any more: half of its ratings are gone.
    """
    if ratings.empty:
        return []
    windows = [(months_back(month, HALF_YEAR)[0], month) for month in months_between(ratings["period"].min(), today)]
    return [
        (first, last)
        for first, last in windows
        if last not in frozen and not destroyed & set(months_between(first, last))
    ]


def _closed(vault: Vault, terms: Terms) -> set[date]:
    """Last months of half-years whose months were all read in full, after their freeze, in every process."""
    read_on = coverage(vault)
    processes = {process.key for process in terms.processes}
    if not read_on or not processes <= _looked_at(vault):
        return set()
    # A look at the portal notes everything from its oldest rating on, so before that there is nothing to read.
    months = months_between(min(period for _, period in read_on), max(period for _, period in read_on))
    is_open = {
        month
        for month in months
        if any(
            (day := read_on.get((key, month))) is None or day < freeze_date(month, terms.freeze_day)
            for key in processes
        )
    }
    return {month for month in months if not is_open & set(months_back(month, HALF_YEAR))}


def _looked_at(vault: Vault) -> set[str]:
    """Processes whose oldest rating is known; runs for single months alone do not look for it."""
    return set(vault.read("reading", CURRENT)["process_key"].to_pylist()) if vault.has("reading", CURRENT) else set()


def _kept(before: Scores, destroyed: set[date]) -> Scores:
    """Half-years that stay as they are: the frozen ones, and those with a destroyed month, which end here."""
    cut = {
        last
        for last in set(before.scored["window_to"]) - before.frozen
        if destroyed & set(months_back(last, HALF_YEAR))
    }
    return _frozen(_of(before, before.frozen | cut), cut)


def _of(found: Scores, windows: Collection[date]) -> Scores:
    """Some of the half-years."""
    scored_rows, signalled, members = (
        rows[rows["window_to"].isin(list(windows)).to_numpy(dtype=bool)]
        for rows in (found.scored, found.signalled, found.members)
    )
    return Scores(scored_rows, signalled, members, found.frozen)


def _frozen(found: Scores, closed: set[date]) -> Scores:
    frozen = found.frozen | closed
    scored_rows, signalled = (
        rows.assign(is_frozen=rows["window_to"].isin(frozen).to_numpy(dtype=bool))
        for rows in (found.scored, found.signalled)
    )
    return Scores(scored_rows, signalled, found.members, frozenset(frozen))


def _joined(parts: Sequence[Scores]) -> Scores:
    def together(rows: Iterable[pd.DataFrame], columns: pa.Schema) -> pd.DataFrame:
        # Pandas guesses the types of an empty frame, and those of what it is joined with.
        frame: pd.DataFrame = pa.concat_tables([as_table(one, columns) for one in rows]).to_pandas()
        return frame

    return Scores(
        together((part.scored for part in parts), SCORED_COLUMNS),
        together((part.signalled for part in parts), SIGNALLED_COLUMNS),
        together((part.members for part in parts), MEMBER_COLUMNS),
        frozenset().union(*(part.frozen for part in parts)),
    )


# --- one half-year ------------------------------------------------------------------------------------------------


def _computed(
    vault: Vault, terms: Terms, ratings: pd.DataFrame, windows: Sequence[tuple[date, date]]
) -> Iterator[Scores]:
    """Scores and signals of the half-years that have ratings."""
    obligations = read_months(
        vault, "released_obligation", vault.periods("released_obligation"), RELEASED_OBLIGATION_COLUMNS
    ).to_pandas()
    rows = _released(vault)
    given = pd.MultiIndex.from_frame(rows.loc[rows["exclusion_code"].isin(GIVEN), IDENTITY])
    events = _current(vault, "released_event", RELEASED_EVENT_COLUMNS).to_pandas()
    events = events[pd.MultiIndex.from_frame(events[IDENTITY]).isin(given)]
    for first, last in windows:
        rows = _within(ratings, "period", first, last).reset_index(drop=True)
        if rows.empty:
            continue
        yield compute(
            rows,
            first,
            last,
            # A change is found after the month of its rating, often after all months of the half-year.
            events=_within(events, "observed_on", first, next_month(last) - timedelta(days=1)),
            coverage=coverage_of(_within(obligations, "period", first, last)),
            experimental=terms.experimental_signals,
        )


def compute(
    ratings: pd.DataFrame,
    first: date,
    last: date,
    *,
    events: pd.DataFrame,
    coverage: pd.DataFrame,
    experimental: Sequence[str] = (),
) -> Scores:
    """Scores and signals of one half-year, rounded as they are published.

    Args:
        ratings: counted named ratings of the half-year, at least one.
        first: its first month.
        last: its last month.
        events: what was observed of named ratings in these months.
        coverage: columns ratee_id, coverage.
        experimental: experimental signals to look for.
    """
    fitted = scoring.fit(ratings)
    alerts = signals.find(ratings, fitted, events=events, experimental=experimental)
    scores = scoring.score(ratings, fitted=fitted, flagged=signals.flagged_pairs(alerts, fitted), coverage=coverage)
    window: dict[str, Any] = {"window_from": first, "window_to": last, "is_frozen": False}
    titles = {code: signal.title for code, signal in signals.SIGNALS.items()}
    pressed = alerts.loc[alerts["signal_type"].eq("pressure_edit"), PEOPLE]
    behind = ratings.assign(is_counted=True), events.merge(pressed, on=PEOPLE).assign(is_counted=False)
    members = pd.concat([rows[MEMBER_COLUMNS.names[1:]] for rows in behind if not rows.empty]).drop_duplicates()
    return Scores(
        scores.round(PLACES).assign(method_version=scoring.METHOD_VERSION, **window),
        alerts.round(PLACES).assign(
            title=alerts["signal_type"].map(titles), method_version=signals.METHOD_VERSION, **window
        ),
        members.assign(window_to=last),
        frozenset(),
    )


def coverage_of(obligations: pd.DataFrame) -> pd.DataFrame:
    """Share of a ratee's expected ratings that were given.

    Args:
        obligations: expected ratings; columns ratee_id, status.

    Returns:
        Columns ratee_id, coverage (0..1, NaN if all are waived); who is not in it has none expected.
    """
    status = obligations["status"]
    given = status.eq("fulfilled").astype("float64").groupby(obligations["ratee_id"]).sum()
    asked = status.ne("waived").astype("float64").groupby(obligations["ratee_id"]).sum()
    share = given / asked.where(asked > 0)
    return share.rename("coverage").rename_axis("ratee_id").reset_index()


def _within(rows: pd.DataFrame, column: str, first: date, last: date) -> pd.DataFrame:
    days = rows[column]
    return rows[(days.ge(first) & days.le(last)).to_numpy(dtype=bool)] if len(rows) else rows


# --- what a stricter policy hides ---------------------------------------------------------------------------------


def _without_hidden(vault: Vault, found: Scores) -> Scores:
    """Takes figures and signals back that rest on a rating which the policy hides by now.

    The band stays: it was told, and no single rating can be read from it. Figures could be, by whoever still sees the
    others; a signal names who rated whom.
    """
    judged = read_months(vault, "judged", vault.periods("judged"), JUDGED_COLUMNS).to_pandas()
    hidden = pd.MultiIndex.from_frame(judged.loc[~judged["mode"].isin(list(NAMED_MODES)), IDENTITY])
    gone = found.members[pd.MultiIndex.from_frame(found.members[IDENTITY]).isin(hidden)]
    if gone.empty:
        return found
    counted = gone[gone["is_counted"].to_numpy(dtype=bool)]
    ratees = pd.MultiIndex.from_frame(counted[["window_to", "ratee_id"]])
    is_stale = pd.MultiIndex.from_frame(found.scored[["window_to", "ratee_id"]]).isin(ratees)
    # Whole numbers have no place for what is missing.
    rows = found.scored.astype(dict.fromkeys(FIGURES, "object"))
    is_told = is_stale & rows["ratings"].notna().to_numpy(dtype=bool)
    rows.loc[is_told, "explanation"] = rows.loc[is_told, "band"] + f": {HIDDEN_SINCE}."
    rows.loc[is_stale, FIGURES] = None
    pairs = {(row.window_to, row.rater_id, row.ratee_id) for row in gone.itertuples()}
    raters = {(window, rater) for window, rater, _ in pairs}
    names_hidden = [
        (row.window_to, row.rater_id, row.ratee_id) in pairs
        or (row.window_to, row.ratee_id, row.rater_id) in pairs
        or (not row.ratee_id and (row.window_to, row.rater_id) in raters)
        for row in found.signalled.itertuples()
    ]
    if is_told.any() or any(names_hidden):
        logger.warning(
            "scores: %d rows lost their figures and %d signals were withdrawn: the policy hides their ratings by now",
            int(is_told.sum()),
            sum(names_hidden),
        )
    return Scores(rows, found.signalled[~np.array(names_hidden, dtype=bool)], found.members, found.frozen)


# --- the memory ---------------------------------------------------------------------------------------------------


def _remembered(vault: Vault, warehouse: Warehouse) -> Scores:
    """What the last run laid down; frozen half-years that the vault has lost are taken over from the warehouse."""
    scored_rows, signalled = (rows.to_pandas() for rows in read_scores(vault))
    members = read_months(vault, "score_member", vault.periods("score_member"), MEMBER_COLUMNS).to_pandas()
    frozen = frozenset(_current(vault, "score_window", WINDOW_COLUMNS)["window_to"].to_pylist())
    found = Scores(scored_rows, signalled, members, frozen)
    with warehouse.session("scores") as db:
        published = {row["window_to"] for row in db.rows(FROZEN_WINDOWS)}
        lost = published - frozen
        if not lost:
            return found
        taken = _taken_over(db, lost)
    logger.warning("scores: the vault does not remember %d frozen half-years: taken over as published", len(lost))
    return _joined([_of(found, set(found.scored["window_to"]) - lost), taken])


FROZEN_WINDOWS = "SELECT DISTINCT window_to FROM hr.fct_score WHERE scope = 'named' AND is_frozen"

MEMBERS = """
    SELECT window_to, process_key, rating_id, period, rater_id, ratee_id, is_counted
    FROM hr.fct_rating CROSS JOIN
        (SELECT DISTINCT window_from, window_to FROM hr.fct_score WHERE window_to IN {windows:Array(Date)}) AS windows
    WHERE exclusion_code IN ('', 'unexplained', 'deleted') AND period BETWEEN window_from AND window_to
"""
"""Nobody remembers what stands behind a frozen half-year of a lost vault: what HR was shown comes next to it."""


def _taken_over(db: Session, windows: set[date]) -> Scores:
    asked = {"windows": sorted(windows)}
    scored_rows, signalled = (
        db.query(f"SELECT {', '.join(columns.names)} FROM {source} WHERE window_to IN {{windows:Array(Date)}}", asked)  # noqa: S608 - names are ours
        .cast(columns)
        .to_pandas()
        for columns, source in (
            (SCORED_COLUMNS, "(SELECT * FROM hr.fct_score WHERE scope = 'named')"),
            (SIGNALLED_COLUMNS, "hr.fct_signal"),
        )
    )
    members = db.query(MEMBERS, asked).cast(MEMBER_COLUMNS).to_pandas()
    return Scores(scored_rows, signalled, members, frozenset(windows))


def _write(vault: Vault, found: Scores) -> None:
    """Lays everything down; which half-years are frozen comes last, so that a killed run has frozen none."""
    write_months(
        vault, "score_member", vault.periods("checked"), found.members, MEMBER_COLUMNS, order=_ORDER["score_member"]
    )
    frozen = pd.DataFrame({"window_to": sorted(found.frozen)})
    for dataset, rows, columns in (
        ("scored", found.scored, SCORED_COLUMNS),
        ("signalled", found.signalled, SIGNALLED_COLUMNS),
        ("score_window", frozen, WINDOW_COLUMNS),
    ):
        table = as_table(rows, columns).sort_by([(column, "ascending") for column in _ORDER[dataset]])
        if not vault.has(dataset, CURRENT) or not _current(vault, dataset, columns).equals(table):
            vault.write(dataset, CURRENT, table)


def as_table(rows: pd.DataFrame, columns: pa.Schema) -> pa.Table:
    """A frame with the columns and types asked for, without notes of pandas."""
    # An empty frame has lost its types, and Arrow will not guess a date.
    if rows.empty:
        return columns.empty_table()
    return pa.Table.from_pandas(rows[columns.names], columns, preserve_index=False).replace_schema_metadata(None)


def _current(vault: Vault, dataset: str, columns: pa.Schema) -> pa.Table:
    if not vault.has(dataset, CURRENT):
        return columns.empty_table()
    rows = vault.read(dataset, CURRENT).replace_schema_metadata(None)
    if rows.schema != columns:
        raise OtherVersionError(dataset)
    return rows
