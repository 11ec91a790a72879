"""What the steps that build copies of published tables share.

Belongs here: specs of tables, opening the warehouse for a step, timing each table, telling Dagster and the log what was
built. Does not belong here: what is built (`star.py`, `marts.py`).

Dimensions are one step, facts another, marts a third: an embedded warehouse costs half a second each time it is opened,
and no table of a stage can be published without its siblings anyway.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import dagster as dg

from assets.crm import OWNERS
from warehouse_sql.warehouse import PublishedTable, Session, Warehouse, table

logger = logging.getLogger(__name__)


def spec(
    database: str,
    name: str,
    description: str,
    deps: Iterable[dg.AssetsDefinition | dg.AssetSpec],
    *,
    by_sql: bool = True,
) -> dg.AssetSpec:
    """A published table as Dagster shows it; `by_sql` tells that a transform file fills it."""
    return dg.AssetSpec(
        [database, name],
        deps=[*deps],
        group_name=database,
        owners=OWNERS,
        kinds={"clickhouse", "sql"} if by_sql else {"clickhouse"},
        description=description,
    )


Fill = Callable[[Session, PublishedTable], None]


def build(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    stage: str,
    specs: Iterable[dg.AssetSpec],
    fills: Mapping[tuple[str, str], Fill],
    first: Callable[[Session], None] | None = None,
) -> Iterator[dg.MaterializeResult[None]]:
    """Builds the copies of a stage's tables in the order of `specs`, and notes how long each took.

    Args:
        context: the step.
        warehouse: where.
        stage: name of the stage.
        specs: its tables.
        fills: what fills the copy of a table; the others are filled by their transform alone.
        first: what comes before any of them.
    """
    results, seconds = [], {}
    with warehouse.session(stage) as db:
        if first:
            first(db)
        for entry in specs:
            database, name = entry.key.path
            target = table(database, name)
            started = time.monotonic()
            fills.get((database, name), _transform)(db, target)
            seconds[target.full_name] = time.monotonic() - started
            rows = db.count(target.staged)
            results.append(_described(db, target, rows))
            logger.info(
                "built run=%s table=%s rows=%d seconds=%.2f",
                context.run.run_id[:8],
                target.full_name,
                rows,
                seconds[target.full_name],
            )
        db.note_seconds(context.run.run_id, seconds)
    # Dagster stores an event per month for each: nobody should wait for the warehouse meanwhile.
    yield from results


def _transform(db: Session, target: PublishedTable) -> None:
    db.fill(target)


def _described(db: Session, target: PublishedTable, rows: int) -> dg.MaterializeResult[None]:
    """What Dagster shows of a table: rows of the copy, columns with their comments."""
    columns = [
        dg.TableColumn(name=column["name"], type=column["type"], description=column["comment"])
        for column in db.columns(target)
    ]
    return dg.MaterializeResult(
        asset_key=[target.database, target.name],
        metadata={
            "dagster/row_count": rows,
            "dagster/table_name": target.full_name,
            "dagster/column_schema": dg.TableSchema(columns=columns),
        },
    )
