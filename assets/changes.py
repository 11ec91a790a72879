"""Which months have to be read again.

Belongs here: the watermark, the count probe and the sweep of each process and of each group of tasks, the months found
and not read yet, the months that are destroyed. Does not belong here: reading ratings (`crm.py`), when somebody looks
(`pipelines/`).

Three nets, each for what the one before lets through:

* the watermark: elements updated since the last look, by the portal's clock, with an overlap;
* the count probe: how many ids up to the last known one a process has, and how many beyond; deletions, restorations
  and imports with an old time show there;
* the sweep, once a day or when a count differs: ids and times of all elements against the vault, for edits with an
  old time and for a deletion and a restoration that cancel each other out.

Closed tasks have the same nets but the probe: tasks of the groups changed since the last look, and once a day all that
were closed in the months read so far. The first does not see a task that was deleted or moved out of its group.

What they find is noted in the vault before anything is read and crossed out when it has been read, so a run that fails
or is killed in between leaves the months to the next one.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets.periods import key_of, next_month, period_of
from assets.rules.structure import find_duplicates, freeze_date
from assets.terms import Terms
from sources.bitrix24 import Bitrix24, ProcessOnPortal
from sources.contracts import FIRST_PERIOD, RATING_COLUMNS, TASK_COLUMNS, Process
from sources.vault import CURRENT, Vault, VaultError

logger = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=10)
"""An element can be saved a little after the second it is stamped with."""

WIDEST_GAP = 2
"""Months nobody asked for that are read along: another run costs more."""

READING_COLUMNS = pa.schema(
    [
        ("process_key", pa.string()),
        ("entity_type_id", pa.int64()),
        ("watermark", pa.timestamp("s", tz="UTC")),
        ("last_id", pa.int64()),
        ("elements", pa.int64()),
        ("swept_on", pa.date32()),
        ("digest", pa.string()),
    ]
)
"""The vault dataset `reading`: how far each process has been looked at."""
TASK_READING_COLUMNS = pa.schema(
    [("group_id", pa.int64()), ("watermark", pa.timestamp("s", tz="UTC")), ("swept_on", pa.date32())]
)
"""The vault dataset `task_reading`: how far the tasks of each group have been looked at."""
COVERAGE_COLUMNS = pa.schema([("process_key", pa.string()), ("period", pa.date32()), ("read_on", pa.date32())])
"""The vault dataset `coverage`: the portal's day on which each month of each process was last read."""
PENDING_COLUMNS = pa.schema([("period", pa.date32())])
"""The vault dataset `pending`: months found changed, or read, and not published since."""
FORGOTTEN_COLUMNS = pa.schema([("period", pa.date32()), ("forgotten_on", pa.date32())])
"""The vault dataset `forgotten`: months that were destroyed and are never read again."""
BURIED_COLUMNS = pa.schema([("process_key", pa.string()), ("rating_id", pa.int64())])
"""The vault dataset `buried`: ratings of destroyed months; they stay published there, wherever they are moved later."""
SHADOWED_COLUMNS = pa.schema([("process_key", pa.string()), ("rating_id", pa.int64())])
"""The vault dataset `shadowed`: duplicates of ratings that were destroyed, and so cannot be found any more."""

_TITLE = RATING_COLUMNS.get_field_index("task_title")
_WITHOUT_TITLES = RATING_COLUMNS.remove(_TITLE)
"""`raw` as it was before runs read the titles of tasks: the one older form that is still read."""


@dataclass(frozen=True)
class Changes:
    """What a look at the portal found.

    Attributes:
        months: changed and not read yet, oldest first.
        wants_sweep: whether a process should be swept, and was not.
    """

    months: list[date]
    wants_sweep: bool


class OtherVersionError(VaultError):
    """A snapshot of the vault has columns that this version does not know or lacks those it needs."""

    def __init__(self, dataset: str) -> None:
        super().__init__(
            f"The vault's {dataset} was written by another version of Estafeta, which this one cannot read: see "
            "docs/operations.md, section 11 (Upgrade)."
        )


class RenamedProcessError(Exception):
    """A smart process that was read under another key: hidden windows would be released a second time."""


def refuse_renamed(vault: Vault, terms: Terms) -> None:
    """Fails when a new process key stands for a smart process that another key stood for.

    Raises:
        RenamedProcessError: naming both keys.
    """
    known = {row["process_key"]: row["entity_type_id"] for row in _current(vault, "reading", READING_COLUMNS)}
    for process in terms.processes:
        earlier = [key for key, entity in known.items() if entity == process.entity_type_id and key != process.key]
        if process.key not in known and earlier:
            raise RenamedProcessError(
                f"Process {process.key} reads the smart process {process.entity_type_id}, which was read as "
                f"{earlier[0]} before: keep the key (title is free to change), or everything published under it "
                "would be published again."
            )


def find_changes(portal: Bitrix24, vault: Vault, terms: Terms, *, sweep: bool) -> Changes:
    """Looks for months whose elements changed and notes them as pending.

    Args:
        portal: the portal.
        vault: the vault.
        terms: processes and rules.
        sweep: whether processes that need it are swept now; a sweep reads every id.
    """
    now = portal.now
    refuse_renamed(vault, terms)
    described = portal.describe(terms.processes)
    known = {row["process_key"]: row for row in _current(vault, "reading", READING_COLUMNS)}
    census = portal.census(
        {process.entity_type_id: known.get(process.key, {}).get("last_id", 0) for process in terms.processes}
    )
    held, destroyed, dead = _held(vault), forgotten(vault), buried(vault)
    found = months_without_titles(vault)
    if found:
        logger.info("portal: titles of tasks are not known in %s", ", ".join(map(key_of, sorted(found))))
    wants_sweep = False
    # Reassigned tasks touch no element; looked at with the first sweep of the day.
    wants_tasks = sweep and any(row["swept_on"] != now.date() for row in known.values())
    if wants_tasks:
        found |= _reassigned(held, portal)
    reading = []
    for process in terms.processes:
        before, count = known.get(process.key), census[process.entity_type_id]
        own = held[held["process_key"].eq(process.key).to_numpy(dtype=bool)]
        digest = _digest(process, described[process.key])
        last_id, elements, swept_on = count.last_id, count.elements, now.date()
        if before is None:
            first = portal.first_period([process])
            months = set(months_between(first, now.date())) if first else set()
        else:
            updated = _living(portal.changed(process, before["watermark"] - OVERLAP), process.key, dead)
            months = _differing(own, updated, before["watermark"])
            newer = int((updated["rating_id"].to_numpy() > before["last_id"]).sum())
            if before["digest"] != digest:
                logger.info("portal: the fields of process %s changed: every month held is read again", process.key)
                months |= set(own["period"])
            # New ids that are not among the updated ones were imported with an old time.
            is_even = count.known == before["elements"] and count.elements - count.known == newer
            if not is_even or before["swept_on"] != now.date():
                if sweep:
                    months |= _swept(own, _living(portal.stubs(process), process.key, dead)) - destroyed
                else:
                    wants_sweep = True
                    last_id, elements, swept_on = before["last_id"], before["elements"], before["swept_on"]
            else:
                swept_on = before["swept_on"]
        if before is not None and months:
            logger.info("portal: process %s changed in %s", process.key, ", ".join(map(key_of, sorted(months))))
        found |= months
        watermark = now.astimezone(UTC).replace(microsecond=0)
        row = (process.key, process.entity_type_id, watermark, last_id, elements, swept_on, digest)
        reading.append(dict(zip(READING_COLUMNS.names, row, strict=True)))
    tasks = _find_task_changes(portal, vault, terms, sweep=sweep)
    # The months first: a run killed between the two writes finds them again.
    add_pending(vault, found | tasks.months)
    if tasks.reading:
        vault.write("task_reading", CURRENT, pa.Table.from_pylist(tasks.reading, TASK_READING_COLUMNS))
    configured = {process.key for process in terms.processes}
    reading += [row for key, row in known.items() if key not in configured]
    vault.write("reading", CURRENT, pa.Table.from_pylist(reading, READING_COLUMNS))
    return Changes(sorted(pending(vault)), wants_sweep or tasks.wants_sweep)


def task_groups(terms: Terms) -> list[int]:
    """Workgroups whose closed tasks ask for ratings."""
    return sorted({process.tasks.group_id for process in terms.processes if process.tasks})


@dataclass(frozen=True)
class _TaskChanges:
    """What a look at closed tasks found.

    Attributes:
        months: changed.
        wants_sweep: whether a group should be swept, and was not.
        reading: rows to note, of `TASK_READING_COLUMNS`; none while no process names a group.
    """

    months: set[date]
    wants_sweep: bool
    reading: list[dict[str, Any]]


def _find_task_changes(portal: Bitrix24, vault: Vault, terms: Terms, *, sweep: bool) -> _TaskChanges:
    """Looks for months whose closed tasks are other ones than the vault holds, among the months read so far."""
    groups = task_groups(terms)
    if not groups:
        return _TaskChanges(set(), False, [])
    today = portal.now.date()
    known = {row["group_id"]: row for row in _current(vault, "task_reading", TASK_READING_COLUMNS)}
    # What was never read is not compared: whoever reads a month for the first time reads its tasks with it.
    read = {period for _, period in coverage(vault)}
    months = read if set(groups) - known.keys() else set()
    looked_at = [group for group in groups if group in known]
    wants_sweep = False
    if looked_at and read:
        held = _held_tasks(vault)
        now = portal.changed_tasks(looked_at, min(known[group]["watermark"] for group in looked_at) - OVERLAP)
        months = months | _differing_tasks(held[held["task_id"].isin(now.task_ids)], now.closed)
        if any(known[group]["swept_on"] != today for group in looked_at):
            if sweep:
                shown = portal.closed_tasks(looked_at, min(read), max(read))
                months = months | _differing_tasks(held[held["group_id"].isin(looked_at)], shown)
            wants_sweep = not sweep
    if months & read:
        logger.info("portal: closed tasks changed in %s", ", ".join(map(key_of, sorted(months & read))))
    watermark = portal.now.astimezone(UTC).replace(microsecond=0)
    reading = [
        {
            "group_id": group,
            "watermark": watermark,
            "swept_on": today if sweep or group not in known else known[group]["swept_on"],
        }
        for group in groups
    ]
    reading += [row for group, row in known.items() if group not in groups]
    return _TaskChanges((months & read) - forgotten(vault), wants_sweep, reading)


def due_months(vault: Vault, terms: Terms, today: date, *, with_open: bool) -> list[date]:
    """Months to read whether or not anything changed.

    Args:
        vault: the vault.
        terms: processes and rules.
        today: the portal's day.
        with_open: also the months that are not frozen yet.

    Returns:
        Frozen months that were not read since, of any process, and the open ones if asked for; oldest first.
    """
    read_on = coverage(vault)
    destroyed = forgotten(vault)
    start = min([today.replace(day=1), *(period for _, period in read_on), *pending(vault)])
    due = []
    for month in months_between(start, today):
        frozen_on = freeze_date(month, terms.freeze_day)
        is_open = today < frozen_on
        lacks = any(
            (day := read_on.get((process.key, month))) is None or (not is_open and day < frozen_on)
            for process in terms.processes
        )
        if month not in destroyed and (lacks or (is_open and with_open)):
            due.append(month)
    return due


def spans(months: Iterable[date], destroyed: Iterable[date] = ()) -> list[tuple[date, date]]:
    """Runs that cover the months: first and last month of each.

    Args:
        months: to be read.
        destroyed: never to be read along.
    """
    never = set(destroyed)
    result: list[tuple[date, date]] = []
    for month in sorted(set(months)):
        if result:
            gap = months_between(next_month(result[-1][1]), month)[:-1]
            if len(gap) <= WIDEST_GAP and not never & set(gap):
                result[-1] = (result[-1][0], month)
                continue
        result.append((month, month))
    return result


def months_between(first: date, last: date) -> list[date]:
    """First days of the months from one day's month to another's, both included."""
    months, month = [], first.replace(day=1)
    while month <= last:
        months.append(month)
        month = next_month(month)
    return months


# --- what is noted ------------------------------------------------------------------------------------------------


def coverage(vault: Vault) -> dict[tuple[str, date], date]:
    """The day on which each month of each process was last read in full."""
    return {
        (row["process_key"], row["period"]): row["read_on"] for row in _current(vault, "coverage", COVERAGE_COLUMNS)
    }


def pending(vault: Vault) -> set[date]:
    """Months found changed and not read since."""
    return {row["period"] for row in _current(vault, "pending", PENDING_COLUMNS)}


def forgotten(vault: Vault) -> set[date]:
    """Months that were destroyed."""
    return {row["period"] for row in _current(vault, "forgotten", FORGOTTEN_COLUMNS)}


def buried(vault: Vault) -> pd.MultiIndex:
    """Ratings of destroyed months: (process_key, rating_id)."""
    rows = [tuple(row.values()) for row in _current(vault, "buried", BURIED_COLUMNS)]
    return pd.MultiIndex.from_tuples(rows, names=BURIED_COLUMNS.names)


def shadowed(vault: Vault) -> pd.MultiIndex:
    """Ratings that are duplicates of destroyed ones: (process_key, rating_id)."""
    rows = [tuple(row.values()) for row in _current(vault, "shadowed", SHADOWED_COLUMNS)]
    return pd.MultiIndex.from_tuples(rows, names=SHADOWED_COLUMNS.names)


def add_pending(vault: Vault, months: Iterable[date]) -> None:
    """Notes months to be read; destroyed ones are left out."""
    wanted = {month for month in months if month >= FIRST_PERIOD}
    lost = wanted & forgotten(vault)
    if lost:
        logger.warning(
            "portal: ratings of destroyed months (%s) were changed or never read: what is published of them stays as "
            "it is",
            ", ".join(map(key_of, sorted(lost))),
        )
    _write_pending(vault, pending(vault) | (wanted - lost))


def note_read(vault: Vault, terms: Terms, months: list[date], read_on: date) -> None:
    """Notes that months have been read in full; they stay pending until they are published."""
    read = {(process.key, period): read_on for process in terms.processes for period in months}
    _write_coverage(vault, coverage(vault) | read)


def note_published(vault: Vault, months: list[date]) -> None:
    """Crosses out months that have been read and published."""
    _write_pending(vault, pending(vault) - set(months))


def forget(vault: Vault, terms: Terms, period: date, today: date) -> int:
    """Destroys a month in the vault for good: it is never read again, and no hidden window closes over the gap.

    Returns:
        How many files were deleted.

    Raises:
        VaultError: the vault holds nothing of the month.
    """
    if key_of(period) not in vault.held():
        raise VaultError(f"The vault holds nothing of {key_of(period)}: there is nothing to destroy.")
    dead = set(buried(vault)) | _identities_of(vault, period)
    _write_identities(vault, "buried", dead, BURIED_COLUMNS)
    _write_identities(vault, "shadowed", set(shadowed(vault)) | _duplicates_of(vault, terms, period), SHADOWED_COLUMNS)
    # Noted before it is done: a month half destroyed must not be read again as if it were new.
    gone = {row["period"]: row["forgotten_on"] for row in _current(vault, "forgotten", FORGOTTEN_COLUMNS)}
    rows = [{"period": month, "forgotten_on": day} for month, day in sorted(({period: today} | gone).items())]
    vault.write("forgotten", CURRENT, pa.Table.from_pylist(rows, FORGOTTEN_COLUMNS))
    _write_pending(vault, pending(vault) - {period})
    _write_coverage(vault, {key: day for key, day in coverage(vault).items() if key[1] != period})
    return vault.forget(key_of(period))


def _write_identities(vault: Vault, dataset: str, rows: set[tuple[str, int]], columns: pa.Schema) -> None:
    named = [dict(zip(columns.names, row, strict=True)) for row in sorted(rows)]
    vault.write(dataset, CURRENT, pa.Table.from_pylist(named, columns))


def _identities_of(vault: Vault, period: date) -> set[tuple[str, int]]:
    if not vault.has("raw", key_of(period)):
        return set()
    rows = vault.read("raw", key_of(period)).select(BURIED_COLUMNS.names).to_pylist()
    return {(row["process_key"], row["rating_id"]) for row in rows}


def _duplicates_of(vault: Vault, terms: Terms, period: date) -> set[tuple[str, int]]:
    """Ratings of other months that only stand aside for a rating of this one."""
    tables = [snapshot(vault, "raw", key) for key in vault.periods("raw")]
    if not tables:
        return set()
    ratings = pa.concat_tables(tables).to_pandas()
    configured = ratings["process_key"].isin([process.key for process in terms.processes])
    ratings = ratings[configured].reset_index(drop=True)
    stays = ratings["period"].ne(period).to_numpy(dtype=bool)
    rest = ratings[stays].reset_index(drop=True)
    orphaned = find_duplicates(ratings, terms.by_process())[stays] & ~find_duplicates(rest, terms.by_process())
    return set(rest.loc[orphaned, SHADOWED_COLUMNS.names].itertuples(index=False, name=None))


def _write_coverage(vault: Vault, known: dict[tuple[str, date], date]) -> None:
    rows = [
        {"process_key": process, "period": period, "read_on": day} for (process, period), day in sorted(known.items())
    ]
    vault.write("coverage", CURRENT, pa.Table.from_pylist(rows, COVERAGE_COLUMNS))


def _write_pending(vault: Vault, months: set[date]) -> None:
    rows = [{"period": month} for month in sorted(months)]
    vault.write("pending", CURRENT, pa.Table.from_pylist(rows, PENDING_COLUMNS))


def _current(vault: Vault, dataset: str, columns: pa.Schema) -> list[dict[str, Any]]:
    if not vault.has(dataset, CURRENT):
        return []
    rows: list[dict[str, Any]] = _columns_of(vault.read(dataset, CURRENT), dataset, columns.names).to_pylist()
    return rows


def snapshot(vault: Vault, dataset: str, key: str) -> pa.Table:
    """A snapshot without its notes; ratings that were read before titles of tasks were have empty ones."""
    table = vault.read(dataset, key).replace_schema_metadata(None)
    if dataset == "raw" and _lacks_titles(table):
        empty = pa.array([""] * len(table), pa.string())
        return table.add_column(_TITLE, RATING_COLUMNS.field(_TITLE), empty)
    return table


def months_without_titles(vault: Vault) -> set[date]:
    """Months of ratings that were read before titles of tasks were."""
    return {period_of(key) for key in vault.periods("raw") if _lacks_titles(vault.read("raw", key))}


def _lacks_titles(ratings: pa.Table) -> bool:
    return bool(ratings.schema.remove_metadata() == _WITHOUT_TITLES)


def _columns_of(table: pa.Table, dataset: str, names: list[str]) -> pa.Table:
    if not set(names) <= set(table.column_names):
        raise OtherVersionError(dataset)
    return table.select(names).replace_schema_metadata(None)


# --- comparing ----------------------------------------------------------------------------------------------------


def _held(vault: Vault) -> pd.DataFrame:
    """What is compared of the ratings that the vault holds."""
    columns = ["process_key", "rating_id", "period", "updated_at", "is_deleted"]
    columns += ["task_id", "task_setter_id", "task_executor_id", "task_title"]
    tables = [_columns_of(snapshot(vault, "raw", key), "raw", columns) for key in vault.periods("raw")]
    empty = pa.schema([RATING_COLUMNS.field(column) for column in columns]).empty_table()
    held: pd.DataFrame = pa.concat_tables([empty, *tables]).to_pandas()
    return held


def _held_tasks(vault: Vault) -> pd.DataFrame:
    """Closed tasks that the vault knows of and does not count as deleted."""
    tables = [_columns_of(vault.read("task", key), "task", TASK_COLUMNS.names) for key in vault.periods("task")]
    held: pd.DataFrame = pa.concat_tables([TASK_COLUMNS.empty_table(), *tables]).to_pandas()
    return held[~held["is_deleted"].to_numpy(dtype=bool)]


def _differing_tasks(held: pd.DataFrame, shown: pa.Table) -> set[date]:
    """Months of rows that only one side has: a task closed, reopened, moved, renamed, or done by somebody else."""
    both = pd.concat([frame for frame in (held, shown.to_pandas()) if not frame.empty] or [held])
    return set(both.drop_duplicates(keep=False)["period"])


def _differing(held: pd.DataFrame, shown: pa.Table, since: datetime | None = None) -> set[date]:
    """Months, old and new, of elements that the vault holds otherwise or not at all.

    Args:
        held: what the vault holds of the process.
        shown: what the portal shows: rating_id, period, updated_at.
        since: an element updated at this moment or later counts as changed whatever the vault holds: it may have been
            edited again within the second in which it was read.
    """
    pair = shown.to_pandas().merge(held, on="rating_id", how="left", suffixes=("", "_held"))
    same = (
        pair["updated_at"].eq(pair["updated_at_held"])
        & pair["period"].eq(pair["period_held"])
        & pair["is_deleted"].eq(False)
    ).to_numpy(dtype=bool)
    if since is not None:
        same = same & pair["updated_at"].lt(pd.Timestamp(since)).to_numpy(dtype=bool)
    differing = pair[~same]
    return {*differing["period"], *differing["period_held"].dropna()}


def _living(shown: pa.Table, process: str, dead: pd.MultiIndex) -> pa.Table:
    """What the portal shows without ratings of destroyed months."""
    ids = [number for key, number in dead if key == process]
    return shown.filter(pc.invert(pc.is_in(shown["rating_id"], pa.array(ids, pa.int64()))))


def _reassigned(held: pd.DataFrame, portal: Bitrix24) -> set[date]:
    """Months with ratings whose linked task has another setter, executor or title than when it was read."""
    linked = held[held["task_id"].ne(0) & ~held["is_deleted"].to_numpy(dtype=bool)]
    tasks = portal.tasks(linked["task_id"].unique().tolist())
    shown = {task.id: (task.setter_id, task.executor_id, task.title) for task in tasks}
    held_columns = ["task_setter_id", "task_executor_id", "task_title"]
    before = linked[held_columns].itertuples(index=False, name=None)
    differs = [shown.get(task, (0, 0, "")) != read for task, read in zip(linked["task_id"], before, strict=True)]
    return set(linked.loc[differs, "period"])


def _swept(held: pd.DataFrame, shown: pa.Table) -> set[date]:
    """Months that a sweep finds different, those of elements that are gone included."""
    live = held[~held["is_deleted"].to_numpy(dtype=bool)]
    gone = live[~live["rating_id"].isin(shown["rating_id"].to_numpy())]
    return _differing(held, shown) | set(gone["period"])


def _digest(process: Process, portal: ProcessOnPortal) -> str:
    """What elements are read by: an option renamed on the portal changes scores without touching any element."""
    reading = process.model_dump(mode="json", include={"entity_type_id", "cadence", "fields", "score_values"})
    definitions = {name: definition.model_dump(mode="json") for name, definition in sorted(portal.definitions.items())}
    for definition in definitions.values():
        definition.pop("title", None)
    parts = [reading, definitions, sorted(portal.failure_stages)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]
