"""What every step that builds a copy of a published table shares.

Belongs here: opening the warehouse for a step, timing it, telling Dagster and the log what was built. Does not belong
here: what is built (`star.py`, `marts.py`).
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from warehouse_sql.warehouse import PublishedTable, Session, Warehouse

logger = logging.getLogger(__name__)


@contextmanager
def building(context: dg.AssetExecutionContext, warehouse: Warehouse, target: PublishedTable) -> Iterator[Session]:
    """Opens the warehouse to build one table's copy, and notes how long it took."""
    started = time.monotonic()
    with warehouse.session(target.full_name) as db:
        yield db
        seconds = time.monotonic() - started
        db.note_step(context.run.run_id, target.full_name, seconds)
        rows = db.count(target.staged)
    logger.info("built run=%s table=%s rows=%d seconds=%.2f", context.run.run_id[:8], target.full_name, rows, seconds)


def described(db: Session, target: PublishedTable) -> dg.MaterializeResult[None]:
    """What Dagster shows of a table: rows of the copy, columns with their comments."""
    columns = [
        dg.TableColumn(name=column["name"], type=column["type"], description=column["comment"])
        for column in db.columns(target)
    ]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": db.count(target.staged),
            "dagster/table_name": target.full_name,
            "dagster/column_schema": dg.TableSchema(columns=columns),
        }
    )
