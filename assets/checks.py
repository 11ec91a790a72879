"""Audit: Great Expectations suites as blocking asset checks, between building a copy and swapping it.

Belongs here: the rules each copy must pass, and the bridge from a suite to Dagster. Does not belong here: rules about
single ratings (`rules/`), which exclude a rating but never stop a run.

One multi-check per stage over sibling assets, not subsettable: it fails closed when it yields no result, so nothing
behind it runs. Only rule names and counts reach metadata: results are BOOLEAN_ONLY, since anything richer quotes rows.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd

from assets.crm import read_months
from assets.guard import guarded
from assets.marts import MARTS
from assets.release import RELEASED_COLUMNS
from assets.rules.policy import MODES
from assets.rules.structure import EXCLUSION_CODES
from assets.star import DIMENSIONS, FACTS
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PublishedTable, Session, Warehouse, table

logger = logging.getLogger(__name__)


class AuditFailedError(Exception):
    """A copy broke a rule, so the published tables stay as they are."""


BANDS = ("1-3", "4-6", "7-9", "10+")


@dataclass(frozen=True)
class Rule:
    """One expectation: its name reads as a sentence, `build` makes it (Great Expectations is imported only then)."""

    name: str
    build: Callable[[Any], Any]


@dataclass(frozen=True)
class Suite:
    """The rules of one table and the columns they look at; names and comments are never among them.

    Attributes:
        target: published table whose copy is audited.
        select: expressions over the copy.
        rules: what must hold.
    """

    target: PublishedTable
    select: str
    rules: tuple[Rule, ...]


def _between(name: str, column: str, low: float, high: float) -> Rule:
    return Rule(name, lambda gxe: gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high))


def _one_of(name: str, column: str, values: Sequence[object]) -> Rule:
    return Rule(name, lambda gxe: gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values)))


def _unique(name: str, *columns: str) -> Rule:
    if len(columns) == 1:
        return Rule(name, lambda gxe: gxe.ExpectColumnValuesToBeUnique(column=columns[0]))
    return Rule(name, lambda gxe: gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns)))


def _true(name: str, column: str) -> Rule:
    return _one_of(name, column, [True])


FACT_SELECT = """
    process_key, rating_id, rater_key, score, exclusion_code, mode, comment_level,
    is_counted = (exclusion_code = '') AS counted_agrees,
    is_five = ifNull(score = 5, false) AS five_agrees,
    period = toStartOfMonth(period) AS period_is_month,
    (exclusion_code IN ('no_score', 'score_range')) = isNull(score) AS score_agrees,
    ratee_id = 0 OR ratee_sk != 0 AS ratee_is_known,
    process_key IN (SELECT process_key FROM stg.dwh_dim_process) AS process_is_known,
    policy_version IN (SELECT policy_version FROM stg.dwh_dim_policy) AS policy_is_known,
    NOT has({months:Array(UInt32)}, toYYYYMM(period)) OR (process_key, rating_id, mode) IN
        (SELECT process_key, rating_id, mode FROM stg.released_rating) AS is_released
"""
"""`months` are the touched ones: what the vault has forgotten stays published and is in no input."""

FACT_RULES = (
    _unique("rating_stands_once", "process_key", "rating_id"),
    _between("score_is_between_1_and_5", "score", 1, 5),
    _one_of("exclusion_code_is_known", "exclusion_code", ["", *EXCLUSION_CODES]),
    _one_of("comment_level_is_known", "comment_level", ["ok", "weak", "violation"]),
    _true("counted_means_no_exclusion", "counted_agrees"),
    _true("five_means_score_5", "five_agrees"),
    _true("period_is_first_of_month", "period_is_month"),
    _true("missing_score_has_its_code", "score_agrees"),
    _true("ratee_has_a_version", "ratee_is_known"),
    _true("process_is_in_dim_process", "process_is_known"),
    _true("policy_is_in_dim_policy", "policy_is_known"),
    _true("row_was_released_by_the_policy", "is_released"),
)

SUITES = {
    ("dwh", "dim_process"): Suite(
        table("dwh", "dim_process"), "process_key", (_unique("process_stands_once", "process_key"),)
    ),
    ("dwh", "dim_policy"): Suite(
        table("dwh", "dim_policy"), "mode, policy_version", (_one_of("mode_is_known", "mode", MODES),)
    ),
    ("dwh", "dim_department"): Suite(
        table("dwh", "dim_department"),
        "department_sk, department_id, valid_from, valid_from < valid_to AS is_ordered",
        (
            _unique("department_version_stands_once", "department_id", "valid_from"),
            _unique("department_key_is_unique", "department_sk"),
            _true("version_begins_before_it_ends", "is_ordered"),
        ),
    ),
    ("dwh", "dim_employee"): Suite(
        table("dwh", "dim_employee"),
        "employee_sk, employee_id, valid_from, valid_from < valid_to AS is_ordered",
        (
            _unique("employee_version_stands_once", "employee_id", "valid_from"),
            _unique("employee_key_is_unique", "employee_sk"),
            _true("version_begins_before_it_ends", "is_ordered"),
        ),
    ),
    ("dwh", "fct_rating"): Suite(
        table("dwh", "fct_rating"), FACT_SELECT, (*FACT_RULES, _one_of("mode_is_open", "mode", ["open"]))
    ),
    ("hr", "fct_rating"): Suite(
        table("hr", "fct_rating"), FACT_SELECT, (*FACT_RULES, _one_of("mode_is_named", "mode", ["open", "named_to_hr"]))
    ),
    ("hr", "fct_rating_event"): Suite(
        table("hr", "fct_rating_event"),
        "process_key, rating_id, event_number, event, mode, new_score, "
        "period = toStartOfMonth(period) AS period_is_month, (event = 'edit') = (changed != '') AS change_is_named",
        (
            _unique("event_stands_once", "process_key", "rating_id", "event_number"),
            _one_of("event_is_known", "event", ["create", "edit", "delete", "restore"]),
            _one_of("mode_is_named", "mode", ["open", "named_to_hr"]),
            _between("score_is_between_1_and_5", "new_score", 1, 5),
            _true("period_is_first_of_month", "period_is_month"),
            _true("an_edit_names_what_changed", "change_is_named"),
        ),
    ),
    ("mart", "department_pair"): Suite(
        table("mart", "department_pair"),
        "scope, period_from, process_key, rater_department_id, ratee_department_id, rater_band, mean_score, "
        "scope = 'open' OR (isNull(ratings) AND isNull(share_of_fives) AND isNull(coverage) "
        "AND isNull(explained_share) AND rater_band != '1-3') AS hides_counts",
        (
            _unique(
                "pair_stands_once", "scope", "period_from", "process_key", "rater_department_id", "ratee_department_id"
            ),
            _between("mean_score_is_between_1_and_5", "mean_score", 1, 5),
            _one_of("rater_band_is_known", "rater_band", BANDS),
            _true("hidden_rows_show_no_counts", "hides_counts"),
        ),
    ),
    ("mart", "rating_block"): Suite(
        table("mart", "rating_block"),
        "ratee_id, process_key, block_from, rater_band",
        (
            _unique("block_stands_once", "ratee_id", "process_key", "block_from"),
            _one_of("rater_band_is_known", "rater_band", BANDS),
        ),
    ),
    ("mart", "comment_feed"): Suite(
        table("mart", "comment_feed"), "scope", (_one_of("scope_is_open", "scope", ["open"]),)
    ),
}

ROWS_ADD_UP = "no_released_row_is_lost"
"""Facts only: the copy holds as many rows of the touched months as the vault released."""


def _stage_check(name: str, assets: Sequence[dg.AssetsDefinition]) -> dg.AssetChecksDefinition:
    """One blocking multi-check over the suites of sibling assets."""
    suites = [SUITES[path] for path in ((asset.key.path[0], asset.key.path[1]) for asset in assets) if path in SUITES]
    specs = [
        dg.AssetCheckSpec(rule, asset=[suite.target.database, suite.target.name], blocking=True)
        for suite in suites
        for rule in _rule_names(suite)
    ]

    @dg.multi_asset_check(name=name, specs=specs)
    @guarded
    def audit(
        context: dg.AssetCheckExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        vault: dg.ResourceParam[Vault],
    ) -> Iterator[dg.AssetCheckResult]:
        broken: list[str] = []
        with warehouse.session(name) as db:
            for suite in suites:
                for verdict in _verdicts(suite, db, vault):
                    if not verdict.passed:
                        broken.append(f"{suite.target.full_name} breaks {verdict.check_name}")
                    yield verdict
            if not broken:
                db.note_step(context.run.run_id, name)
        if broken:
            raise AuditFailedError(f"The audit failed: {', '.join(broken)}; published tables are as they were.")

    return audit


def _rule_names(suite: Suite) -> list[str]:
    names = [rule.name for rule in suite.rules]
    return [*names, ROWS_ADD_UP] if suite.target.rebuilt == "periods" else names


def _verdicts(suite: Suite, db: Session, vault: Vault) -> Iterator[dg.AssetCheckResult]:
    target = suite.target
    months = {"months": [int(key.replace("-", "")) for key in vault.periods("released")]}
    frame = db.query(f"SELECT {suite.select} FROM {target.staged}", months).to_pandas()  # noqa: S608 - names are ours
    for rule, passed in run_suite(suite, frame).items():
        yield _result(target, rule, passed, rows=len(frame))
    if target.rebuilt == "periods":
        counts = _released_and_staged(suite, db, vault)
        yield _result(target, ROWS_ADD_UP, counts["released"] == counts["staged"], **counts)
    logger.info("audit: %s: %d rules over %d rows", target.full_name, len(_rule_names(suite)), len(frame))


def run_suite(suite: Suite, frame: pd.DataFrame) -> dict[str, bool]:
    """Validates a frame with Great Expectations.

    Returns:
        Verdict by rule name. A rule that could not be evaluated counts as broken.
    """
    if frame.empty:
        return {rule.name: True for rule in suite.rules}
    # 3 to 8 s of import: paid by the step that audits, never by a code location that loads.
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            # By default each context leaves an empty folder in /tmp and reports usage to its maker.
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )
    gx_suite = gx.ExpectationSuite(name=suite.target.full_name)
    for rule in suite.rules:
        expectation = rule.build(gxe)
        expectation.meta = {"rule": rule.name}
        gx_suite.add_expectation(expectation)
    batch = (
        context.data_sources.add_pandas("copy")
        .add_dataframe_asset(suite.target.full_name)
        .add_batch_definition_whole_dataframe("all")
        .get_batch({"dataframe": frame})
    )
    report = batch.validate(gx_suite, result_format="BOOLEAN_ONLY")
    verdicts = {
        result.expectation_config.meta["rule"]: bool(result.success)
        for result in report.results
        if result.expectation_config is not None
    }
    return {rule.name: verdicts.get(rule.name, False) for rule in suite.rules}


def _released_and_staged(suite: Suite, db: Session, vault: Vault) -> dict[str, int]:
    keys = vault.periods("released")
    if suite.target.name == "fct_rating_event":
        rows = vault.read("released_event", CURRENT)
    else:
        rows = read_months(vault, "released", keys, RELEASED_COLUMNS)
    modes = ["open"] if suite.target.database == "dwh" else ["open", "named_to_hr"]
    released_rows = sum(1 for mode in rows["mode"].to_pylist() if mode in modes)
    staged = db.rows(
        f"SELECT count() AS n FROM {suite.target.staged} "  # noqa: S608 - names are ours
        "WHERE toYYYYMM(period) IN {months:Array(UInt32)}",
        {"months": [int(key.replace("-", "")) for key in keys]},
    )
    return {"released": released_rows, "staged": int(staged[0]["n"])}


def _result(target: PublishedTable, rule: str, passed: bool, **counts: int) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed,
        asset_key=[target.database, target.name],
        check_name=rule,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=dict(counts),
    )


dimensions_audit = _stage_check("dimensions_audit", DIMENSIONS)
facts_audit = _stage_check("facts_audit", FACTS)
marts_audit = _stage_check("marts_audit", MARTS)

CHECKS = [dimensions_audit, facts_audit, marts_audit]
STEPS = ("inputs", "dimensions_audit", "facts_audit", "marts_audit")
"""What a run must have done with its copies before they may be published."""
