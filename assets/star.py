"""Dimensions and facts, built in the workshop `stg`.

Belongs here: laying down what left the vault and running the transforms of `dwh` and `hr`. Does not belong here: the
transforms themselves (`warehouse_sql/transforms`), marts, the swap.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assets.building import Fill, build, spec
from assets.crm import OWNERS, people, read_months
from assets.decisions import decision
from assets.guard import guarded
from assets.hidden import hidden, published, published_rows, read_released
from assets.periods import MONTHS, ONE_RUN, months_asked, period_of, yyyymm
from assets.release import RELEASED_COLUMNS, RELEASED_OBLIGATION_COLUMNS
from assets.rules import comments, decisions, reasons
from assets.rules.hidden import SCORE
from assets.scores import as_table, read_scores, scored
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PUBLISHED, PublishedTable, Session, Warehouse, table

logger = logging.getLogger(__name__)


@dg.asset(
    key=["stg", "inputs"],
    deps=[hidden, people, scored, decision],
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
    asked = months_asked(context)
    written = {
        name: sorted({*asked, *(period_of(key) for key in vault.periods(name))})
        for name in ("released", "released_obligation")
    }
    expected = read_months(
        vault, "released_obligation", vault.periods("released_obligation"), RELEASED_OBLIGATION_COLUMNS
    )
    with warehouse.session("inputs") as db:
        db.clear_stage()
        rows = read_months(vault, "released", vault.periods("released"), RELEASED_COLUMNS)
        db.lay_down("released_rating", rows)
        stale, kept = _withdrawn(db, written)
        db.lay_down("released_obligation", pa.concat_tables([expected, kept]))
        for target in PUBLISHED:
            more = stale if target == OBLIGATIONS else []
            db.stage(target, [*yyyymm(written[source_of(target)]), *more])
        db.lay_down("released_pseudonym", published_rows(read_released(vault)))
        db.lay_down("released_event", vault.read("released_event", CURRENT).replace_schema_metadata(None))
        db.lay_down("employee_version", vault.read("employees", CURRENT).replace_schema_metadata(None))
        db.lay_down("department_version", vault.read("departments", CURRENT).replace_schema_metadata(None))
        db.note_step(context.run.run_id, "inputs")
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rows)})


WITH_STALE = """
    WITH marked AS
    (
        SELECT *,
            toBool(rating_id != 0
                AND (process_key, rating_id) NOT IN (
                    SELECT process_key, rating_id FROM hr.fct_rating
                    WHERE NOT has({rated:Array(UInt32)}, toYYYYMM(period)))
                AND (process_key, rating_id, mode) NOT IN (
                    SELECT process_key, rating_id, arrayJoin(if(mode = 'open', ['open', 'named_to_hr'], [mode]))
                    FROM stg.released_rating)) AS is_stale
        FROM hr.fct_obligation
        WHERE NOT has({expected:Array(UInt32)}, toYYYYMM(period))
    )
    SELECT * FROM marked WHERE period IN (SELECT period FROM marked WHERE is_stale)
"""
"""Destroyed months with an expected rating whose rating is of a month still held, and hidden by now."""


def _withdrawn(db: Session, written: Mapping[str, Sequence[date]]) -> tuple[list[int], pa.Table]:
    """Months that the vault has destroyed and that still name a rating which the policy hides by now.

    What is published of a destroyed month stays as it is, but for this: such a row would tell who gave a rating that
    left the tables of ratings.

    Args:
        db: the warehouse, with the ratings laid down.
        written: months written anew, by vault dataset.

    Returns:
        (those months as yyyymm, their rows without the stale ones).
    """
    months = {"expected": yyyymm(written["released_obligation"]), "rated": yyyymm(written["released"])}
    found = db.query(WITH_STALE, months)
    kept = found.filter(pc.invert(found["is_stale"])).select(RELEASED_OBLIGATION_COLUMNS.names)
    return yyyymm(sorted(set(found["period"].to_pylist()))), kept.cast(RELEASED_OBLIGATION_COLUMNS)


def source_of(target: PublishedTable) -> str:
    """The vault dataset whose months a run writes anew in a table of facts."""
    return "released_obligation" if target.name == "fct_obligation" else "released"


RATINGS = (table("dwh", "fct_rating"), table("hr", "fct_rating"))
OBLIGATIONS = table("hr", "fct_obligation")
FACTS_THAT_NAME = tuple(fact.staged for fact in (*RATINGS, OBLIGATIONS))
"""Copies whose untouched months name processes and policy lines that may have left the configuration."""

DIMENSION_SPECS = (
    spec("dwh", "dim_date", "Calendar from 2020 to the end of the next year.", [inputs]),
    spec("dwh", "dim_process", "Rated hand-overs, as configured.", [inputs], by_sql=False),
    spec("dwh", "dim_policy", "Lines of the release policy, as configured.", [inputs], by_sql=False),
    spec("dwh", "dim_reason", "Reasons of lowered scores.", [inputs], by_sql=False),
    spec("dwh", "dim_rule", "Rules for comments, with a hint for whoever breaks one.", [inputs], by_sql=False),
    spec("dwh", "dim_department", "Departments, one row per version (SCD2).", [inputs]),
    spec("dwh", "dim_employee", "Employees, one row per version (SCD2).", [inputs]),
)


@dg.multi_asset(name="dimensions", specs=DIMENSION_SPECS, partitions_def=MONTHS, backfill_policy=ONE_RUN)
@guarded
def dimensions(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    portal: dg.ResourceParam[Bitrix24],
    terms: dg.ResourceParam[Terms],
) -> Iterator[dg.MaterializeResult[None]]:
    """Builds all dimensions.

    What left the configuration or the rules is still named by months that the vault has destroyed, so those rows stay.
    """
    today = portal.now.date()
    yield from build(
        context,
        warehouse,
        "dimensions",
        DIMENSION_SPECS,
        {
            ("dwh", "dim_date"): lambda db, target: db.fill(target, {"today": today}),
            ("dwh", "dim_process"): lambda db, target: _fill_processes(db, target, terms),
            ("dwh", "dim_policy"): lambda db, target: _fill_policy(db, target, terms),
            ("dwh", "dim_reason"): _fill_reasons,
            ("dwh", "dim_rule"): _fill_rules,
        },
    )


def _fill_processes(db: Session, target: PublishedTable, terms: Terms) -> None:
    rows = [
        {
            "process_key": process.key,
            "title": process.title,
            "cadence": process.cadence,
            "comment_required_below": process.comment_required_below,
        }
        for process in terms.processes
    ]
    db.insert(target.staged, pa.Table.from_pylist(rows))
    db.keep_named(target, "process_key", dict.fromkeys((*FACTS_THAT_NAME, "stg.released_pseudonym"), "process_key"))


def _fill_policy(db: Session, target: PublishedTable, terms: Terms) -> None:
    db.insert(target.staged, pa.Table.from_pylist(terms.policy.rows()))
    db.keep_named(target, "policy_version", dict.fromkeys(FACTS_THAT_NAME, "policy_version"))


def _fill_reasons(db: Session, target: PublishedTable) -> None:
    rows = [
        {"reason_code": code, "title": title, "sort_order": place}
        for place, (code, title) in enumerate(reasons.REASONS.items(), start=1)
    ]
    db.insert(target.staged, pa.Table.from_pylist(rows))
    named_by = dict.fromkeys(("stg.dwh_bridge_rating_reason", "stg.hr_fct_rating"), "reason_code")
    db.keep_named(target, "reason_code", named_by)


def _fill_rules(db: Session, target: PublishedTable) -> None:
    rows = [
        {
            "rule_code": code,
            "severity": rule.severity,
            "title": rule.title,
            "hint": rule.hint,
            "ruleset_version": comments.RULESET_VERSION,
        }
        for code, rule in comments.RULES.items()
    ]
    db.insert(target.staged, pa.Table.from_pylist(rows))
    db.keep_named(
        target,
        "rule_code",
        dict.fromkeys((fact.staged for fact in RATINGS), "arrayJoin(splitByChar(',', comment_rules))"),
    )


FACT_SPECS = (
    spec("dwh", "fct_rating", "Ratings the policy shows as rows: open ones, and pseudonymous scores.", DIMENSION_SPECS),
    spec("dwh", "bridge_rating_reason", "Reasons of open ratings, each with its weight.", DIMENSION_SPECS),
    spec("hr", "fct_rating", "Ratings in mode open or named_to_hr, named; for HR only.", DIMENSION_SPECS),
    spec("hr", "fct_obligation", "Ratings that closed tasks make expect, named; for HR only.", DIMENSION_SPECS),
    spec("hr", "fct_rating_event", "What happened to named ratings between runs; for HR only.", DIMENSION_SPECS),
    spec("hr", "fct_score", "Scores and bands of ratees by half-year; for HR only.", DIMENSION_SPECS, by_sql=False),
    spec("hr", "fct_signal", "What HR may look at: odd pairs and raters; for HR only.", DIMENSION_SPECS, by_sql=False),
    spec("hr", "fct_decision", "What people decided on the bands; for HR only.", DIMENSION_SPECS, by_sql=False),
)


@dg.multi_asset(name="facts", specs=FACT_SPECS, partitions_def=MONTHS, backfill_policy=ONE_RUN)
@guarded
def facts(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], vault: dg.ResourceParam[Vault]
) -> Iterator[dg.MaterializeResult[None]]:
    """Builds all facts: ratings by their transforms, what is computed of them as the vault holds it."""
    fills: dict[tuple[str, str], Fill] = {
        ("hr", name): partial(_insert_all, parts=parts) for name, parts in score_tables(vault).items()
    }
    yield from build(context, warehouse, "facts", FACT_SPECS, fills)


DECISION_ROWS = pa.schema(
    [
        ("number", pa.int64()),
        ("ratee_id", pa.int64()),
        ("period", pa.date32()),
        ("scope", pa.string()),
        ("recommendation", pa.string()),
        ("decision", pa.string()),
        ("decided_by", pa.int64()),
        ("decided_on", pa.date32()),
        ("reason", pa.string()),
        ("reason_level", pa.string()),
        ("exclusion_code", pa.string()),
        ("is_counted", pa.bool_()),
        ("is_different", pa.bool_()),
    ]
)
"""`hr.fct_decision`."""


def score_tables(vault: Vault) -> dict[str, list[pa.Table]]:
    """Rows of `hr.fct_score`, `fct_signal` and `fct_decision`, by table."""
    named, signalled = read_scores(vault)
    named = named.append_column("scope", pa.array(["named"] * len(named), pa.string()))
    hidden_bands = published(read_released(vault), SCORE)
    known = ["scope", "ratee_id", "window_to", "band"]
    bands = pd.concat([rows.select(known).to_pandas() for rows in (named, hidden_bands)], ignore_index=True)
    reviews, recorded = (vault.read(name, CURRENT).to_pandas() for name in ("review", "decision"))
    employees = vault.read("employees", CURRENT)["employee_id"].to_pylist()
    statuses = decisions.statuses(signalled.to_pandas(), reviews)
    decided = decisions.decide(recorded, bands, set(employees))
    return {
        "fct_score": [named, hidden_bands],
        "fct_signal": [signalled.append_column("status", pa.array(statuses.tolist(), pa.string()))],
        "fct_decision": [as_table(decided, DECISION_ROWS)],
    }


def _insert_all(db: Session, target: PublishedTable, parts: list[pa.Table]) -> None:
    for rows in parts:
        db.insert(target.staged, rows)


STAR = [dimensions, facts]
