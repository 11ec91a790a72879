"""Tells heads that a month is closed and there is something to talk over.

Belongs here: which month is due, sending once. Does not belong here: whom and in which words (`rules/agenda.py`).

Comes after the swap: nobody is invited to look at what is not published yet. A message that cannot be sent fails no
run; the next one tries again.
"""

import logging
from datetime import date

import dagster as dg
import pyarrow as pa

from assets.changes import due_months
from assets.crm import OWNERS
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN, months_back
from assets.publish import load_run
from assets.rules.agenda import invitations
from assets.rules.structure import freeze_date
from assets.terms import Terms
from sources.bitrix24 import Bitrix24, PortalBusyError, PortalError, PortalUnreachableError, WebhookRefusedError
from sources.contracts import ContractBrokenError
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import Warehouse

logger = logging.getLogger(__name__)

PORTAL_IS_SILENT = (PortalUnreachableError, PortalBusyError, WebhookRefusedError)

NOTIFIED_COLUMNS = pa.schema([pa.field("period", pa.date32()), pa.field("head_id", pa.int64())])
"""The vault dataset `notified`: who was told of which month; head 0 stands for the month a vault began with."""

PAIRS = """
    WITH head AS
    (
        SELECT department_id, head_employee_id
        FROM dwh.dim_department
        WHERE is_current
            AND head_employee_id IN (SELECT employee_id FROM dwh.dim_employee WHERE is_current AND is_active)
    )
    SELECT DISTINCT
        pair.rater_department AS rater_department,
        rater_side.head_employee_id AS rater_head,
        pair.ratee_department AS ratee_department,
        ratee_side.head_employee_id AS ratee_head
    FROM mart.department_pair AS pair
    LEFT JOIN head AS rater_side ON pair.rater_department_id = rater_side.department_id
    LEFT JOIN head AS ratee_side ON pair.ratee_department_id = ratee_side.department_id
    WHERE pair.period_to = {month:Date} AND pair.mean_score IS NOT NULL
"""


@dg.asset(
    key=["vault", "notified"],
    deps=[load_run],
    group_name="ops",
    owners=OWNERS,
    kinds={"bitrix24"},
    description="Heads who were told that a month is closed; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def notified(
    portal: dg.ResourceParam[Bitrix24],
    vault: dg.ResourceParam[Vault],
    warehouse: dg.ResourceParam[Warehouse],
    terms: dg.ResourceParam[Terms],
) -> dg.MaterializeResult[None]:
    """Tells each head of the last closed month, once."""
    if not terms.agenda_link:
        return dg.MaterializeResult(metadata={"notified": 0})
    month = last_closed(portal.now.date(), terms.freeze_day)
    if not vault.has("notified", CURRENT):
        # Months closed before there was a link are old news.
        vault.write("notified", CURRENT, pa.Table.from_pylist([{"period": month, "head_id": 0}], NOTIFIED_COLUMNS))
        return dg.MaterializeResult(metadata={"notified": 0})
    told = {(row["period"], row["head_id"]) for row in vault.read("notified", CURRENT).to_pylist()}
    # A run over other months comes before the one that reads the closed month for the last time.
    if (month, 0) in told or month in due_months(vault, terms, portal.now.date(), with_open=False):
        return dg.MaterializeResult(metadata={"notified": 0})
    with warehouse.session("agenda") as db:
        pairs = db.query(PAIRS, {"month": month}).to_pandas()
    sent, refused = 0, 0
    for head, message in sorted(invitations(pairs, month, terms.agenda_link).items()):
        if (month, head) in told:
            continue
        try:
            portal.notify(head, message)
        except (PortalError, ContractBrokenError) as error:
            refused += 1
            logger.warning("agenda: a head was not told that %s is closed: %s", f"{month:%Y-%m}", error)
            if isinstance(error, PORTAL_IS_SILENT):
                # Each further head would wait as long, with the run lock held.
                break
            continue
        told.add((month, head))
        sent += 1
        rows = [{"period": period, "head_id": head_id} for period, head_id in sorted(told) if period == month]
        # After each one: a run that is killed here must not tell anybody twice.
        vault.write("notified", CURRENT, pa.Table.from_pylist(rows, NOTIFIED_COLUMNS))
    return dg.MaterializeResult(metadata={"notified": sent, "refused": refused})


def last_closed(today: date, freeze_day: int) -> date:
    """The newest month whose freeze has come."""
    return max(month for month in months_back(today, 3) if freeze_date(month, freeze_day) <= today)
