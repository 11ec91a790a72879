"""Dashboards, from the specs to DataLens.

Belongs here: bringing specs, warehouse and workbooks together, the ledger of what was published, the asset. Does not
belong here: what a spec is, how it is published (`datalens_specs`).

Comes after the swap, and publishes what the specs of this version say: row rules follow the heads of today, and a head
who has left his department loses its rows with the next run.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from assets.crm import OWNERS
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN
from assets.publish import load_run
from assets.rules.reasons import REASONS
from assets.terms import Publishing, Terms, Workbook
from datalens_specs.entries import Entry, entries, row_rules
from datalens_specs.pictures import picture
from datalens_specs.query import field_sql
from datalens_specs.specs import Column, Dataset, Specs, load
from sources.contracts import Process
from sources.datalens_users import DatalensUser, read_datalens_users
from warehouse_sql.warehouse import Session, Warehouse

if TYPE_CHECKING:
    from datalens_specs.publish import Client, Plan, Written

logger = logging.getLogger(__name__)

COLUMNS = """
    SELECT concat(database, '.', table) AS table, name, type, comment FROM system.columns
    WHERE database IN ('mart', 'hr') ORDER BY database, table, position
"""
LAST_NOTES = """
    SELECT
        kind, key,
        argMax(name, noted_at) AS name,
        argMax(entry_id, noted_at) AS entry_id,
        argMax(digest, noted_at) AS digest,
        argMax(revision, noted_at) AS revision
    FROM ops.dashboard_entry
    WHERE workbook_id = {workbook:String}
    GROUP BY kind, key
"""


def words_of(processes: Iterable[Process]) -> dict[str, dict[str, str]]:
    """What `labels` of specs may name: titles of processes and of reasons."""
    return {"processes": {process.key: process.title for process in processes}, "reasons": dict(REASONS)}


def tables_of(db: Session) -> dict[str, list[Column]]:
    """Tables and columns that specs may read, as ClickHouse has them."""
    tables: dict[str, list[Column]] = {}
    for row in db.rows(COLUMNS):
        tables.setdefault(row["table"], []).append(Column(row["name"], row["type"], row["comment"]))
    return tables


class WarehouseLedger:
    """What was written to one workbook, as `ops.dashboard_entry` remembers it.

    Args:
        db: an open session.
        workbook: id of the workbook.
    """

    def __init__(self, db: Session, workbook: str) -> None:
        self._db = db
        self._workbook = workbook
        self._last = datetime.min.replace(tzinfo=UTC)

    def read(self) -> "list[Written]":
        """The last note on each entry."""
        from datalens_specs.publish import Written

        return [Written(**row) for row in self._db.rows(LAST_NOTES, {"workbook": self._workbook})]

    def note(self, notes: "Sequence[Written]") -> None:
        """Adds notes."""
        # Two notes within one tick of the clock would be equally late.
        self._last = max(datetime.now(UTC), self._last + datetime.resolution)
        columns = {
            "noted_at": pa.array([self._last] * len(notes), pa.timestamp("us", tz="UTC")),
            "workbook_id": [self._workbook] * len(notes),
            **{
                name: [getattr(one, name) for one in notes]
                for name in ("kind", "key", "name", "entry_id", "digest", "revision")
            },
        }
        self._db.insert("ops.dashboard_entry", pa.table(columns))


@dataclass(frozen=True)
class Looked:
    """A workbook compared with the specs, ready to be published."""

    workbook: Workbook
    entries: tuple[Entry, ...]
    plan: "Plan"
    ledger: WarehouseLedger


def look(db: Session, client: "Client", publishing: Publishing, terms: Terms, *, destroy: bool = False) -> list[Looked]:
    """Compares every workbook with the specs; changes nothing.

    Args:
        db: an open session of the warehouse.
        client: of DataLens.
        publishing: which workbooks.
        terms: of the portal.
        destroy: whether all that is ours shall go.

    Raises:
        SpecError: the specs do not fit the warehouse.
        CsvFileError: the file of users cannot be read.
        PublishError: DataLens cannot be reached or refuses, or nobody may see a dataset that limits its rows.
    """
    from datalens_specs.publish import plan

    tables = tables_of(db)
    specs = load(tables, words_of(terms.processes))
    users = [] if destroy else read_datalens_users(publishing.users_csv)
    found = []
    for workbook in publishing.workbooks:
        part = specs.part(for_hr=workbook.for_hr)
        wanted = () if destroy else entries(part, tables, workbook.place, _row_rules(db, part, users))
        ledger = WarehouseLedger(db, workbook.workbook_id)
        found.append(Looked(workbook, wanted, plan(client, workbook.workbook_id, wanted, ledger), ledger))
    return found


def _row_rules(db: Session, specs: Specs, users: Sequence[DatalensUser]) -> dict[str, list[tuple[str, str]]]:
    def values(dataset: Dataset) -> list[str]:
        assert dataset.row_access is not None, "asked for guarded datasets alone"  # noqa: S101 - by row_rules()
        value = field_sql(dataset, dataset.field(dataset.row_access.field))
        rows = db.rows(f"SELECT DISTINCT {value} AS value FROM {dataset.table} AS source")  # noqa: S608 - checked names
        return [row["value"] for row in rows]

    access = [(row["user_id"], row["department_id"]) for row in db.rows("SELECT * FROM mart.user_access")]
    ids = {user.employee_id: user.user_id for user in users}
    return row_rules(specs, access, ids, values, [user.employee_id for user in users if user.sees_all])


@dg.asset(
    key=["datalens", "dashboards"],
    deps=[load_run],
    group_name="ops",
    owners=OWNERS,
    kinds={"datalens"},
    description="The dashboards in DataLens, as the specs describe them; pictures of some of their charts.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def datalens_dashboards(
    warehouse: dg.ResourceParam[Warehouse], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Publishes what changed; charts and dashboards that somebody changed by hand wait for `dashboards apply`.

    Raises:
        PublishError: DataLens refuses, or a dataset was changed by hand: who sees which rows is not certain then.
    """
    metadata: dict[str, Any] = {}
    publishing = terms.datalens
    with warehouse.session("dashboards") as db:
        tables = tables_of(db)
        specs = load(tables, words_of(terms.processes))
        metadata |= _pictures(db, specs)
        if publishing is None or not publishing.has_credentials:
            metadata["plan"] = "DataLens is not configured" if publishing is None else "No credentials: left alone"
            return dg.MaterializeResult(metadata=metadata)
        from datalens_specs.publish import apply, refuse_edited

        client = publishing.client()
        with client:
            for one in look(db, client, publishing, terms):
                name = "plan_hr" if one.workbook.for_hr else "plan"
                metadata[name] = dg.MetadataValue.md("\n".join(["    " + one.plan.summary, "", *_lines(one.plan)]))
                todo = one.plan
                if todo.in_the_way:
                    # A head who has left loses his rows whatever somebody did to a chart.
                    refuse_edited([step for step in todo.in_the_way if step.kind in ("connection", "dataset")])
                    logger.warning(
                        "dashboards: %d entries in DataLens were changed by hand, so datasets alone were published; "
                        "see estafeta dashboards plan",
                        len(todo.in_the_way),
                    )
                    todo = todo.rules_alone
                workbook = one.workbook
                ids = apply(client, workbook.workbook_id, todo, one.ledger, password=workbook.password)
                for title, entry_id in ids.items():
                    metadata[f"link: {title}"] = dg.MetadataValue.url(f"{publishing.site.rstrip('/')}/{entry_id}")
                logger.info("dashboards: %s", one.plan.summary)
    return dg.MaterializeResult(metadata=metadata)


def _lines(plan: "Plan") -> list[str]:
    return [f"    {step}" for step in plan.steps if step.action != "unchanged"]


def _pictures(db: Session, specs: Specs) -> dict[str, dg.MetadataValue[Any]]:
    """Pictures of the charts that ask for one; never of HR's."""
    charts = [chart for chart in specs.part(for_hr=False).charts.values() if chart.picture]
    return {
        f"chart: {chart.title}": dg.MetadataValue.md(picture(chart, specs.datasets[chart.dataset], db.rows))
        for chart in charts
    }
