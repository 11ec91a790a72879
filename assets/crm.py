"""Portal to vault: people as they are today, and the ratings of the months asked for.

Belongs here: fetching, telling deleted from hidden, writing snapshots. Does not belong here: whether a rating counts
(`ratings.py`), what may leave (`release.py`).
"""

import logging
from collections import Counter
from datetime import date

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets.guard import guarded
from assets.periods import MONTHS, key_of, months_asked
from assets.rules.deletions import missing, refuse_mass_deletion
from assets.terms import Terms
from sources.bitrix24 import Bitrix24, ProcessOnPortal, RightsLostError
from sources.contracts import RATING_COLUMNS, Department
from sources.vault import CURRENT, Vault, VaultError

logger = logging.getLogger(__name__)

OWNERS = ["team:data-engineering"]

COVERAGE_COLUMNS = pa.schema([("process_key", pa.string()), ("period", pa.date32()), ("read_on", pa.date32())])
"""The vault dataset `coverage`: the portal's day on which each month of each process was last read."""

portal_people = dg.AssetSpec(
    ["bitrix24", "people"], group_name="crm", kinds={"bitrix24"}, description="Users and departments in Bitrix24."
)
portal_ratings = dg.AssetSpec(
    ["bitrix24", "ratings"],
    group_name="crm",
    kinds={"bitrix24"},
    description="Elements of the rating smart processes and the tasks they link to, in Bitrix24.",
)


class RawConfig(dg.Config):
    """What an operator may say about one reading."""

    accept_deletions: bool = False


@dg.asset(
    key=["vault", "people"],
    deps=[portal_people],
    group_name="crm",
    owners=OWNERS,
    kinds={"bitrix24"},
    description="Employees and departments as the portal shows them today, encrypted.",
)
@guarded
def people(portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault]) -> dg.MaterializeResult[None]:
    """Reads all users, dismissed ones included, and the department tree."""
    users, departments = portal.users(), portal.departments()
    if not users or not departments:
        raise RightsLostError(
            "The portal shows no users or no departments: give the webhook's owner access to the company structure "
            "and the webhook the scopes user_brief and department."
        )
    levels = department_levels(departments)
    vault.write(
        "employees",
        CURRENT,
        pa.Table.from_pylist(
            [
                {
                    "employee_id": user.id,
                    "full_name": user.full_name,
                    "position": user.position or "",
                    "department_id": user.departments[0] if user.departments else 0,
                    "is_active": user.is_active,
                }
                for user in users
            ],
            pa.schema(
                [
                    ("employee_id", pa.uint32()),
                    ("full_name", pa.string()),
                    ("position", pa.string()),
                    ("department_id", pa.uint32()),
                    ("is_active", pa.bool_()),
                ]
            ),
        ),
    )
    vault.write(
        "departments",
        CURRENT,
        pa.Table.from_pylist(
            [department.model_dump() | {"level": levels[department.id]} for department in departments],
            pa.schema(
                [
                    ("id", pa.uint32()),
                    ("name", pa.string()),
                    ("parent_id", pa.uint32()),
                    ("level", pa.uint8()),
                    ("head_employee_id", pa.uint32()),
                ]
            ),
        ).rename_columns({"id": "department_id"}),
    )
    logger.info("portal: %d employees in %d departments", len(users), len(departments))
    return dg.MaterializeResult(metadata={"dagster/row_count": len(users), "departments": len(departments)})


@dg.asset(
    key=["vault", "raw"],
    deps=[portal_ratings],
    partitions_def=MONTHS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="crm",
    owners=OWNERS,
    kinds={"bitrix24"},
    description="Rating elements of the month as the portal holds them, deleted ones kept as last seen; encrypted.",
)
@guarded
def raw(
    context: dg.AssetExecutionContext,
    config: RawConfig,
    portal: dg.ResourceParam[Bitrix24],
    vault: dg.ResourceParam[Vault],
    terms: dg.ResourceParam[Terms],
) -> dg.MaterializeResult[None]:
    """Reads exactly the months asked for and compares them with the last snapshot."""
    months = months_asked(context)
    # Taken before the first page: what is edited while we read is read again by the next run.
    read_on = portal.now.date()
    described = portal.describe(terms.processes)
    fresh: list[pa.Table] = []
    for process in terms.processes:
        rows = portal.ratings(process, described[process.key], months[0], months[-1])
        logger.info("portal: %d ratings of process %s, %d requests so far", len(rows), process.key, portal.requests)
        fresh.append(rows)
    ratings = _with_vanished(
        pa.concat_tables(fresh), months, portal, described, vault, terms, accept=config.accept_deletions
    )
    ratings = _with_tasks(ratings, portal)
    _write_raw(vault, ratings, months)
    _note_coverage(vault, terms, months, read_on)
    deleted = pc.sum(ratings["is_deleted"]).as_py() or 0
    return dg.MaterializeResult(
        metadata={"dagster/row_count": len(ratings), "deleted": deleted, "requests": portal.requests}
    )


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
    tables = [vault.read(dataset, key).replace_schema_metadata(None) for key in keys if vault.has(dataset, key)]
    if tables:
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
    configured = pc.is_in(held["process_key"], pa.array([process.key for process in terms.processes], pa.string()))
    known_frame = held.filter(configured).to_pandas()
    absent = missing(known_frame, fresh.to_pandas())
    found: list[pa.Table] = []
    for process in terms.processes:
        ids = absent.loc[absent["process_key"].eq(process.key), "rating_id"].tolist()
        if ids:
            found.append(portal.vanished(process, described[process.key], ids))
    still_there = pa.concat_tables([fresh.slice(0, 0), *found])
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


def _write_raw(vault: Vault, ratings: pa.Table, months: list[date]) -> None:
    """Writes the months asked for, and takes ratings that changed their month out of, or into, the others.

    A rating stands in one month only. Of a month that was not asked for only a snapshot that exists is touched: a new
    one with a single rating would replace the whole month in the warehouse.
    """
    asked = {key_of(period) for period in months}
    written = vault.periods("raw")
    here = _identities(ratings.to_pandas())
    keys = pd.to_datetime(ratings["period"].to_pandas()).dt.strftime("%Y-%m").to_numpy()
    for key in sorted({*asked, *written}):
        rows = ratings.filter(pa.array(keys == key, pa.bool_()))
        if key in asked:
            # A month that was emptied keeps its snapshot, an empty one; a month that never had ratings gets none.
            if rows.num_rows or key in written:
                vault.write("raw", key, rows)
            continue
        before = vault.read("raw", key).replace_schema_metadata(None)
        stays = ~_identities(before.to_pandas()).isin(here)
        if rows.num_rows or not stays.all():
            vault.write("raw", key, pa.concat_tables([before.filter(pa.array(stays, pa.bool_())), rows]))
    elsewhere = sorted({str(key) for key in keys} - asked - set(written))
    if elsewhere:
        logger.warning("portal: ratings moved to %s, which no run has read yet; run these months", ", ".join(elsewhere))


def _identities(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["process_key", "rating_id"]])


def _with_tasks(ratings: pa.Table, portal: Bitrix24) -> pa.Table:
    """Fills in who set and who executed the linked tasks."""
    linked = pc.unique(ratings["task_id"]).to_pylist()
    tasks = portal.tasks([task for task in linked if task])
    setter = {task.id: task.setter_id for task in tasks}
    executor = {task.id: task.executor_id for task in tasks}
    ids = ratings["task_id"].to_pandas()
    for column, values in (("task_setter_id", setter), ("task_executor_id", executor)):
        filled = ids.map(values).fillna(0).astype("int64")
        at = ratings.schema.get_field_index(column)
        ratings = ratings.set_column(at, RATING_COLUMNS.field(column), pa.array(filled, pa.int64()))
    logger.info("portal: %d linked tasks, %d of them visible", len([task for task in linked if task]), len(tasks))
    return ratings


def coverage(vault: Vault) -> dict[tuple[str, date], date]:
    """The day on which each month of each process was last read in full."""
    if not vault.has("coverage", CURRENT):
        return {}
    rows = vault.read("coverage", CURRENT).to_pylist()
    return {(row["process_key"], row["period"]): row["read_on"] for row in rows}


def forget(vault: Vault, period: date) -> int:
    """Destroys a month in the vault; it no longer counts as read, so no hidden window can be closed over the gap.

    Returns:
        How many files were deleted.
    """
    known = {key: day for key, day in coverage(vault).items() if key[1] != period}
    files = vault.forget(key_of(period))
    _write_coverage(vault, known)
    return files


def _note_coverage(vault: Vault, terms: Terms, months: list[date], read_on: date) -> None:
    read = {(process.key, period): read_on for process in terms.processes for period in months}
    _write_coverage(vault, coverage(vault) | read)


def _write_coverage(vault: Vault, known: dict[tuple[str, date], date]) -> None:
    rows = [
        {"process_key": process, "period": period, "read_on": day} for (process, period), day in sorted(known.items())
    ]
    vault.write("coverage", CURRENT, pa.Table.from_pylist(rows, COVERAGE_COLUMNS))
