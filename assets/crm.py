"""Portal to vault: people as they are today, and the ratings and closed tasks of the months asked for.

Belongs here: fetching, telling deleted from hidden, writing snapshots. Does not belong here: whether a rating counts
(`ratings.py`), what may leave (`release.py`).
"""

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets import changes
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN, key_of, months_asked, period_of
from assets.rules.deletions import (
    missing,
    refuse_lost_departments,
    refuse_lost_tasks,
    refuse_mass_deletion,
    refuse_mass_dismissal,
)
from assets.rules.events import observe
from assets.rules.organisation import NO_END, department_versions, employee_versions
from assets.terms import Terms
from sources.bitrix24 import Bitrix24, ProcessOnPortal, RightsLostError
from sources.contracts import RATING_COLUMNS, TASK_COLUMNS, Department
from sources.vault import CURRENT, Vault, VaultError
from warehouse_sql.warehouse import Warehouse

logger = logging.getLogger(__name__)

OWNERS = ["team:data-engineering"]

EMPLOYEE_COLUMNS = pa.schema(
    [
        ("employee_id", pa.int64()),
        ("full_name", pa.string()),
        ("position", pa.string()),
        ("department_id", pa.int64()),
        ("is_active", pa.bool_()),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
        ("is_current", pa.bool_()),
        ("is_inferred", pa.bool_()),
    ]
)
"""The vault dataset `employees`: versions of everybody a run ever saw."""
DEPARTMENT_COLUMNS = pa.schema(
    [
        ("department_id", pa.int64()),
        ("name", pa.string()),
        ("parent_id", pa.int64()),
        ("level", pa.int64()),
        ("head_employee_id", pa.int64()),
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
        ("is_current", pa.bool_()),
        ("is_inferred", pa.bool_()),
    ]
)
"""The vault dataset `departments`: versions of every department a run ever saw."""
EVENT_SCHEMA = pa.schema(
    [
        ("process_key", pa.string()),
        ("rating_id", pa.int64()),
        ("number", pa.int64()),
        ("event", pa.string()),
        ("observed_on", pa.date32()),
        ("changed_at", pa.timestamp("s", tz="UTC")),
        ("is_after_freeze", pa.bool_()),
        ("changed", pa.string()),
        ("rated_on", pa.date32()),
        ("old_score", pa.uint8()),
        ("score", pa.uint8()),
        ("comment_hash", pa.int64()),
        ("reason_hash", pa.int64()),
        ("rater_id", pa.int64()),
        ("ratee_id", pa.int64()),
        ("task_id", pa.int64()),
        ("period", pa.date32()),
        ("stage_id", pa.string()),
    ]
)
"""The vault dataset `event`: what was observed of each rating, in the month it stood in afterwards."""

portal_people = dg.AssetSpec(
    ["bitrix24", "people"], group_name="crm", kinds={"bitrix24"}, description="Users and departments in Bitrix24."
)
portal_ratings = dg.AssetSpec(
    ["bitrix24", "ratings"],
    group_name="crm",
    kinds={"bitrix24"},
    description="Elements of the rating smart processes, the tasks they link to and those of workgroups, in Bitrix24.",
)


class PortalConfig(dg.Config):
    """What an operator may say about one reading."""

    accept_deletions: bool = False


class ForgottenMonthError(Exception):
    """A month that was asked for is destroyed in the vault."""


@dg.asset(
    key=["vault", "people"],
    deps=[portal_people],
    group_name="crm",
    owners=OWNERS,
    kinds={"bitrix24"},
    description="Versions of employees and departments, today's included; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def people(
    config: PortalConfig,
    portal: dg.ResourceParam[Bitrix24],
    vault: dg.ResourceParam[Vault],
    warehouse: dg.ResourceParam[Warehouse],
) -> dg.MaterializeResult[None]:
    """Reads all users, dismissed ones included, and the department tree, and adds them to the published versions.

    The published dimensions are the memory of who was where: they outlive the retention and the keys of the vault. The
    vault's copy is what the rules of this run read, and the memory of a warehouse that was made anew.
    """
    # The run lock is held: what lies about now was left by a run that was killed.
    vault.clean()
    today = portal.now.date()
    users, departments = portal.users(), portal.departments()
    if not users or not departments:
        raise RightsLostError(
            "The portal shows no users or no departments: give the webhook's owner access to the company structure "
            "and the webhook the scopes user_brief and department."
        )
    with warehouse.session("people") as db:
        finished, migrated = db.prepare()
        employees_before = db.query(KNOWN_EMPLOYEES)
        departments_before = db.query(KNOWN_DEPARTMENTS)
    for name in finished:
        logger.warning("warehouse: finished the swap of %s that an earlier run left open", name)
    for name in migrated:
        logger.info("warehouse: applied migration %s", name)
    seen = pd.DataFrame(
        {
            "employee_id": [user.id for user in users],
            "full_name": [user.full_name for user in users],
            "position": [user.position or "" for user in users],
            "department_id": [user.departments[0] if user.departments else 0 for user in users],
            "is_active": [user.is_active for user in users],
        }
    )
    known = _versions_before(vault, "employees", employees_before, EMPLOYEE_COLUMNS)
    if not config.accept_deletions:
        active = known.loc[known["is_current"] & known["is_active"], "employee_id"]
        refuse_mass_dismissal(len(active), int((~active.isin(seen["employee_id"])).sum()))
    known_departments = _versions_before(vault, "departments", departments_before, DEPARTMENT_COLUMNS)
    if not config.accept_deletions:
        standing = set(known_departments.loc[known_departments["is_current"], "department_id"])
        gone = standing - {department.id for department in departments}
        refuse_lost_departments(int((seen["is_active"] & seen["department_id"].isin(list(gone))).sum()))
    employees = employee_versions(known, seen, today)
    levels = department_levels(departments)
    tree = department_versions(
        known_departments,
        pd.DataFrame([department.model_dump() | {"level": levels[department.id]} for department in departments]).rename(
            columns={"id": "department_id"}
        ),
        today,
    )
    vault.write("employees", CURRENT, pa.Table.from_pandas(employees, EMPLOYEE_COLUMNS, preserve_index=False))
    vault.write("departments", CURRENT, pa.Table.from_pandas(tree, DEPARTMENT_COLUMNS, preserve_index=False))
    _note_sighting(vault, today)
    started = int((employees["valid_from"] == today).sum() + (tree["valid_from"] == today).sum())
    logger.info(
        "portal: %d employees in %d departments, %d versions start today", len(users), len(departments), started
    )
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(users), "departments": len(departments), "versions_started": started}
    )


SIGHTING_COLUMNS = pa.schema([("day", pa.date32())])
"""The vault dataset `sighting`: the portal's days on which a run saw people and departments."""


def sightings(vault: Vault) -> list[date]:
    """Days on which a run saw people and departments, oldest first."""
    if not vault.has("sighting", CURRENT):
        return []
    return sorted(row["day"] for row in vault.read("sighting", CURRENT).to_pylist())


def _note_sighting(vault: Vault, today: date) -> None:
    days = sorted({*sightings(vault), today})
    vault.write("sighting", CURRENT, pa.Table.from_pylist([{"day": day} for day in days], SIGHTING_COLUMNS))


KNOWN_EMPLOYEES = """
    SELECT employee_id, full_name, position, department_id, is_active, valid_from, valid_to, is_current, is_inferred
    FROM dwh.dim_employee WHERE NOT is_unknown
"""
KNOWN_DEPARTMENTS = """
    SELECT department_id, name, parent_id, level, head_employee_id, valid_from, valid_to, is_current, is_inferred
    FROM dwh.dim_department WHERE department_id != 0
"""


def _versions_before(vault: Vault, dataset: str, published: pa.Table, columns: pa.Schema) -> pd.DataFrame:
    """Versions so far: of those published and the vault's copy, which differ after a restore, the ones that know more.

    An older copy would have forgotten moves, and a rating given after one would be judged, and shown, by the
    department its rater had left.
    """
    candidates: list[pd.DataFrame] = [published.select(columns.names).cast(columns).to_pandas()]
    if vault.has(dataset, CURRENT):
        candidates.append(vault.read(dataset, CURRENT).select(columns.names).to_pandas())

    def last_change(versions: pd.DataFrame) -> tuple[date, int]:
        ends = versions.loc[versions["valid_to"] != NO_END, "valid_to"]
        return max([date.min, *versions["valid_from"], *ends]), len(versions)

    return max(candidates, key=last_change)


@dg.asset(
    key=["vault", "raw"],
    deps=[portal_ratings],
    group_name="crm",
    owners=OWNERS,
    kinds={"bitrix24"},
    description="Rating elements of the month as the portal holds them, deleted ones kept as last seen; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def raw(
    context: dg.AssetExecutionContext,
    config: PortalConfig,
    portal: dg.ResourceParam[Bitrix24],
    vault: dg.ResourceParam[Vault],
    terms: dg.ResourceParam[Terms],
) -> dg.MaterializeResult[None]:
    """Reads exactly the months asked for and compares them with the last snapshot."""
    reading = read_ratings(portal, vault, terms, months_asked(context), accept_deletions=config.accept_deletions)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": reading.ratings,
            "deleted": reading.deleted,
            "events": reading.events,
            "closed_tasks": reading.tasks,
            "requests": portal.requests,
        }
    )


@dataclass(frozen=True)
class Reading:
    """How much one reading brought.

    Attributes:
        ratings: ratings of the months, deleted ones included.
        deleted: of them deleted.
        events: what happened since the last reading.
        tasks: closed tasks of the months, deleted ones included; one that several people did counts for each.
    """

    ratings: int
    deleted: int
    events: int
    tasks: int


def read_ratings(
    portal: Bitrix24, vault: Vault, terms: Terms, months: list[date], *, accept_deletions: bool = False
) -> Reading:
    """Brings the vault's snapshots of some months up to the portal.

    Args:
        portal: the portal.
        vault: the vault.
        terms: processes and rules.
        months: consecutive months, oldest first.
        accept_deletions: whether a mass deletion is believed.

    Raises:
        ForgottenMonthError: one of the months is destroyed.
        MassDeletionError: too many ratings or closed tasks vanished at once.
        PortalError: the portal could not be read in full; nothing was written.
    """
    destroyed = changes.forgotten(vault) & set(months)
    if destroyed:
        raise ForgottenMonthError(
            f"The vault has destroyed {', '.join(map(key_of, sorted(destroyed)))} and never reads it again; what was "
            "published of it stays as it is. Ask for other months."
        )
    changes.refuse_renamed(vault, terms)
    # Taken before the first page: what is edited while we read is read again by the next run.
    read_on = portal.now.date()
    described = portal.describe(terms.processes)
    portal.probe(terms.processes, described)
    fresh: list[pa.Table] = []
    for process in terms.processes:
        rows = portal.ratings(process, described[process.key], months[0], months[-1])
        logger.info("portal: %d ratings of process %s, %d requests so far", len(rows), process.key, portal.requests)
        fresh.append(rows)
    living = _without(pa.concat_tables(fresh), changes.buried(vault))
    ratings = _with_vanished(living, months, portal, described, vault, terms, accept=accept_deletions)
    ratings = _with_tasks(ratings, portal)
    snapshots, elsewhere = _snapshots(vault, ratings, months)
    tasks, tasks_elsewhere = _task_snapshots(portal, vault, terms, months, accept=accept_deletions)
    # Pending until they are published: whatever cuts this run short, the next one takes these months again.
    changes.add_pending(vault, {*months, *map(period_of, {*snapshots, *tasks}), *elsewhere, *tasks_elsewhere})
    # The log before the snapshots: observing twice finds nothing new, and an event that is not logged is lost.
    events = _log_events(vault, ratings, months, terms, portal.now)
    for key, rows in snapshots.items():
        vault.write("raw", key, rows)
    for key, rows in tasks.items():
        vault.write("task", key, rows)
    changes.note_read(vault, terms, months, read_on)
    closed = sum(len(tasks[key_of(month)]) for month in months if key_of(month) in tasks)
    return Reading(len(ratings), pc.sum(ratings["is_deleted"]).as_py() or 0, events, closed)


def department_levels(departments: list[Department]) -> dict[int, int]:
    """Depth of each department: the root is 1; a department whose parent is not shown counts as a root."""
    parents = {department.id: department.parent_id for department in departments}

    def depth(department: int) -> int:
        seen: set[int] = set()
        while department in parents and department not in seen:
            seen.add(department)
            department = parents[department]
        return len(seen)

    return {department: depth(department) for department in parents}


def read_months(vault: Vault, dataset: str, keys: list[str], columns: pa.Schema | None = None) -> pa.Table:
    """Several months of a dataset as one table; an empty one of `columns` if there are none."""
    tables = [changes.snapshot(vault, dataset, key) for key in keys if vault.has(dataset, key)]
    if tables:
        if any(table.schema != tables[0].schema or (columns and table.schema != columns) for table in tables):
            raise changes.OtherVersionError(dataset)
        return pa.concat_tables(tables)
    if columns is None:
        raise VaultError(f"The vault holds no {dataset} yet: run the months you need first.")
    return columns.empty_table()


def _with_vanished(
    fresh: pa.Table,
    months: list[date],
    portal: Bitrix24,
    described: dict[str, ProcessOnPortal],
    vault: Vault,
    terms: Terms,
    *,
    accept: bool,
) -> pa.Table:
    """Adds what the list no longer shows: deleted ratings as last seen, and those that moved to another month."""
    held = read_months(vault, "raw", [key_of(period) for period in months], RATING_COLUMNS)
    # A process that left the configuration did not vanish from the portal: its rows wait unchanged.
    configured = _is_configured(held, terms)
    known_frame = held.filter(configured).to_pandas()
    absent = missing(known_frame, fresh.to_pandas())
    found: list[pa.Table] = []
    for process in terms.processes:
        ids = absent.loc[absent["process_key"].eq(process.key), "rating_id"].tolist()
        if ids:
            found.append(portal.vanished(process, described[process.key], ids))
    still_there = pa.concat_tables([fresh.slice(0, 0), *found])
    still_there = _kept_out_of(changes.forgotten(vault), still_there, known_frame)
    deleted = missing(absent, still_there.to_pandas())
    if not accept:
        live = known_frame[~known_frame["is_deleted"].to_numpy(dtype=bool)]
        refuse_mass_deletion(Counter(live["period"]), Counter(deleted["period"]))
    current = pa.concat_tables([fresh, still_there])
    gone = known_frame[
        (known_frame["is_deleted"] | known_frame.index.isin(deleted.index))
        & ~_identities(known_frame).isin(_identities(current.to_pandas()))
    ].assign(is_deleted=True)
    return pa.concat_tables(
        [
            current,
            pa.Table.from_pandas(gone, RATING_COLUMNS, preserve_index=False),
            held.filter(pc.invert(configured)),
        ]
    )


def _log_events(vault: Vault, ratings: pa.Table, months: list[date], terms: Terms, now: datetime) -> int:
    """Adds what happened to the ratings read now to the log of the months they stand in.

    Returns:
        How many events were added.
    """
    held = {*map(key_of, months), *vault.periods("raw")}
    log = read_months(vault, "event", vault.periods("event"), EVENT_SCHEMA).to_pandas()
    observable = ratings.filter(_is_configured(ratings, terms)).to_pandas()
    events = observe(log, observable, now, terms.freeze_day)
    keys = pd.to_datetime(events["period"]).dt.strftime("%Y-%m").to_numpy()
    for key in sorted(set(keys) & held):
        fresh = pa.Table.from_pandas(events[keys == key], EVENT_SCHEMA, preserve_index=False)
        before = [vault.read("event", key).replace_schema_metadata(None)] if vault.has("event", key) else []
        vault.write("event", key, pa.concat_tables([*before, fresh.replace_schema_metadata(None)]))
    return int(np.isin(keys, list(held)).sum())


def _is_configured(ratings: pa.Table, terms: Terms) -> pa.Array:
    return pc.is_in(ratings["process_key"], pa.array([process.key for process in terms.processes], pa.string()))


def _snapshots(vault: Vault, ratings: pa.Table, months: list[date]) -> tuple[dict[str, pa.Table], set[date]]:
    """The months asked for, and the others with the ratings that changed their month taken out or put in.

    A rating stands in one month only. Of a month that was not asked for only a snapshot that exists is touched: a new
    one with a single rating would replace the whole month in the warehouse.

    Returns:
        (snapshots to write by month, months that ratings moved to and that no run has read).
    """
    asked = {key_of(period) for period in months}
    written = vault.periods("raw")
    here = _identities(ratings.to_pandas())
    keys = pd.to_datetime(ratings["period"].to_pandas()).dt.strftime("%Y-%m").to_numpy()
    snapshots: dict[str, pa.Table] = {}
    for key in sorted({*asked, *written}):
        rows = ratings.filter(pa.array(keys == key, pa.bool_()))
        if key in asked:
            # A month that was emptied keeps its snapshot, an empty one; a month that never had ratings gets none.
            if rows.num_rows or key in written:
                snapshots[key] = rows
            continue
        before = changes.snapshot(vault, "raw", key)
        stays = ~_identities(before.to_pandas()).isin(here)
        if rows.num_rows or not stays.all():
            snapshots[key] = pa.concat_tables([before.filter(pa.array(stays, pa.bool_())), rows])
    return snapshots, {period_of(key) for key in {str(key) for key in keys} - asked - set(written)}


def _without(ratings: pa.Table, identities: pd.MultiIndex) -> pa.Table:
    if identities.empty:
        return ratings
    return ratings.filter(pa.array(~_identities(ratings.to_pandas()).isin(identities), pa.bool_()))


def _kept_out_of(destroyed: set[date], rows: pa.Table, known: pd.DataFrame) -> pa.Table:
    """Leaves ratings that moved into a destroyed month in the one they stood in: no run can publish them there."""
    frame = rows.to_pandas()
    lost = frame["period"].isin(list(destroyed)).to_numpy(dtype=bool)
    if not lost.any():
        return rows
    stood = known.set_index(["process_key", "rating_id"])["period"].reindex(_identities(frame)).to_numpy()
    frame["period"] = np.where(lost, stood, frame["period"])
    return pa.Table.from_pandas(frame, RATING_COLUMNS, preserve_index=False)


def _identities(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["process_key", "rating_id"]])


def _with_tasks(ratings: pa.Table, portal: Bitrix24) -> pa.Table:
    """Fills in who set and who executed the linked tasks, and what they are called."""
    linked = [task for task in pc.unique(ratings["task_id"]).to_pylist() if task]
    tasks = portal.tasks(linked)
    place = pc.index_in(ratings["task_id"], pa.array([task.id for task in tasks], pa.int64()))
    for column, values, unknown in (
        ("task_setter_id", [task.setter_id for task in tasks], 0),
        ("task_executor_id", [task.executor_id for task in tasks], 0),
        ("task_title", [task.title for task in tasks], ""),
    ):
        expected = RATING_COLUMNS.field(column)
        filled = pa.array(values, expected.type).take(place.combine_chunks()).fill_null(unknown)
        ratings = ratings.set_column(ratings.schema.get_field_index(column), expected, filled)
    logger.info("portal: %d linked tasks, %d of them visible", len(linked), len(tasks))
    return ratings


def _task_snapshots(
    portal: Bitrix24, vault: Vault, terms: Terms, months: list[date], *, accept: bool
) -> tuple[dict[str, pa.Table], set[date]]:
    """Closed tasks of the months asked for, and the other months with tasks closed again at another time taken out.

    A task stands in one month only: the one in which it was closed last. One that the list of its month no longer
    shows is asked for by id: it was opened again, closed in another month or moved to another group, and is not
    expected to be rated any more, or not there; or it is not shown at all, and was deleted.

    Returns:
        (snapshots to write by month, months that tasks moved to and that no run has read).
    """
    groups = changes.task_groups(terms)
    if not groups:
        return {}, set()
    fresh = portal.closed_tasks(groups, months[0], months[-1])
    asked, written = {key_of(period) for period in months}, vault.periods("task")
    held = read_months(vault, "task", written, TASK_COLUMNS)
    # Tasks of a group that left the configuration did not vanish from the portal: they wait unchanged.
    is_here = pc.and_(
        pc.is_in(held["group_id"], pa.array(groups, pa.int64())),
        pc.is_in(held["period"], pa.array(months, pa.date32())),
    )
    here = held.filter(is_here)
    live = _task_ids(here.filter(pc.invert(here["is_deleted"])))
    absent = live - _task_ids(fresh)
    now = portal.tasks_now(sorted(absent))
    vanished = absent - now.task_ids
    if not accept:
        group_of = dict(zip(here["task_id"].to_pylist(), here["group_id"].to_pylist(), strict=True))
        refuse_lost_tasks(*(Counter(group_of[task] for task in tasks) for tasks in (live, vanished)))
    moved = now.closed.filter(pc.is_in(now.closed["group_id"], pa.array(groups, pa.int64())))
    shown = pa.concat_tables([fresh, moved])
    is_gone = pc.or_(_among(here, vanished), pc.and_(here["is_deleted"], pc.invert(_among(here, _task_ids(shown)))))
    gone = here.filter(is_gone)
    at = TASK_COLUMNS.get_field_index("is_deleted")
    gone = gone.set_column(at, TASK_COLUMNS.field(at), pa.repeat(True, len(gone)))
    elsewhere = held.filter(pc.invert(_among(held, _task_ids(shown) | _task_ids(here))))
    tasks = pa.concat_tables([shown, gone, elsewhere])
    tasks = tasks.sort_by([("task_id", "ascending"), ("executor_id", "ascending")])
    logger.info("portal: %d closed tasks, %d requests so far", len(_task_ids(fresh)), portal.requests)
    snapshots: dict[str, pa.Table] = {}
    for key in sorted({*asked, *written}):
        rows = tasks.filter(pc.equal(tasks["period"], pa.scalar(period_of(key), pa.date32()))).combine_chunks()
        before = held.filter(pc.equal(held["period"], pa.scalar(period_of(key), pa.date32())))
        # As with ratings: a month that never had tasks gets no snapshot, a month that was emptied an empty one.
        if (key in asked and (rows.num_rows or key in written)) or not rows.equals(before):
            snapshots[key] = rows
    periods = pc.unique(tasks["period"]).to_pylist()
    return snapshots, {month for month in periods if key_of(month) not in {*asked, *written}}


def _task_ids(tasks: pa.Table) -> set[int]:
    return set(tasks["task_id"].to_pylist())


def _among(tasks: pa.Table, task_ids: set[int]) -> pa.ChunkedArray:
    return pc.is_in(tasks["task_id"], pa.array(sorted(task_ids), pa.int64()))
