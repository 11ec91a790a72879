"""Dimensions and facts, built in the workshop `stg`.

Belongs here: laying down what left the vault and running the transforms of `dwh` and `hr`. Does not belong here: the
transforms themselves (`warehouse_sql/transforms`), marts, the swap.
"""

import logging
from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from assets.building import building, described
from assets.crm import OWNERS, people, read_months
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN, months_asked, period_of, yyyymm
from assets.release import RELEASED_COLUMNS, released
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PUBLISHED, Warehouse, table

logger = logging.getLogger(__name__)


@dg.asset(
    key=["stg", "inputs"],
    deps=[released, people],
    group_name="warehouse",
    owners=OWNERS,
    kinds={"clickhouse"},
    description="What left the vault, laid down in the workshop beside copies of the untouched published data.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def inputs(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], vault: dg.ResourceParam[Vault]
) -> dg.MaterializeResult[None]:
    """Starts the copies and fills the input tables."""
    keys = vault.periods("released")
    touched = sorted({*months_asked(context), *(period_of(key) for key in keys)})
    with warehouse.session("inputs") as db:
        db.clear_stage()
        for target in PUBLISHED:
            db.stage(target, yyyymm(touched))
        rows = read_months(vault, "released", keys, RELEASED_COLUMNS)
        db.lay_down("released_rating", rows)
        db.lay_down("released_event", vault.read("released_event", CURRENT).replace_schema_metadata(None))
        db.lay_down("employee_version", vault.read("employees", CURRENT).replace_schema_metadata(None))
        db.lay_down("department_version", vault.read("departments", CURRENT).replace_schema_metadata(None))
        db.note_step(context.run.run_id, "inputs")
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rows)})


def _transformed(
    database: str, name: str, deps: Sequence[dg.AssetsDefinition], description: str
) -> dg.AssetsDefinition:
    """An asset whose copy is filled by its transform file."""
    target = table(database, name)

    @dg.asset(
        key=[database, name],
        deps=[*deps],
        group_name=database,
        owners=OWNERS,
        kinds={"clickhouse", "sql"},
        description=description,
        partitions_def=MONTHS,
        backfill_policy=ONE_RUN,
    )
    @guarded
    def build(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        portal: dg.ResourceParam[Bitrix24],
    ) -> dg.MaterializeResult[None]:
        with building(context, warehouse, target) as db:
            db.fill(target, {"today": portal.now.date()} if name == "dim_date" else None)
            return described(db, target)

    return build


dim_date = _transformed("dwh", "dim_date", [inputs], "Calendar from 2020 to the end of the next year.")
dim_department = _transformed("dwh", "dim_department", [inputs], "Departments, one row per version (SCD2).")
dim_employee = _transformed("dwh", "dim_employee", [inputs], "Employees, one row per version (SCD2).")


@dg.asset(
    key=["dwh", "dim_process"],
    deps=[inputs],
    group_name="dwh",
    owners=OWNERS,
    kinds={"clickhouse"},
    description="Rated hand-overs, as configured.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def dim_process(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Writes the configured processes."""
    target = table("dwh", "dim_process")
    rows = [
        {
            "process_key": process.key,
            "title": process.title,
            "cadence": process.cadence,
            "comment_required_below": process.comment_required_below,
        }
        for process in terms.processes
    ]
    with building(context, warehouse, target) as db:
        db.insert(target.staged, pa.Table.from_pylist(rows))
        # What left the configuration is still named by months that the vault has destroyed.
        db.keep_named(target, "process_key")
        return described(db, target)


@dg.asset(
    key=["dwh", "dim_policy"],
    deps=[inputs],
    group_name="dwh",
    owners=OWNERS,
    kinds={"clickhouse"},
    description="Lines of the release policy, as configured.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def dim_policy(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Writes the policy's lines and the default."""
    target = table("dwh", "dim_policy")
    with building(context, warehouse, target) as db:
        db.insert(target.staged, pa.Table.from_pylist(terms.policy.rows()))
        # A line that left the configuration is still named by months that the vault has destroyed.
        db.keep_named(target, "policy_version")
        return described(db, target)


DIMENSIONS = [dim_date, dim_process, dim_policy, dim_department, dim_employee]

fct_rating = _transformed("dwh", "fct_rating", DIMENSIONS, "Ratings the policy shows as rows, without hidden ones.")
hr_fct_rating = _transformed("hr", "fct_rating", DIMENSIONS, "Ratings in mode open or named_to_hr, named; for HR only.")
fct_rating_event = _transformed(
    "hr", "fct_rating_event", DIMENSIONS, "What happened to named ratings between runs; for HR only."
)

FACTS = [fct_rating, hr_fct_rating, fct_rating_event]
STAR = [*DIMENSIONS, *FACTS]
