"""Audit: Great Expectations suites as blocking asset checks, between building a copy and swapping it.

Belongs here: the rules each copy must pass, and the bridge from a suite to Dagster. Does not belong here: rules about
single ratings (`rules/`), which exclude a rating but never stop a run.

One multi-check per stage over sibling assets, not subsettable: it fails closed when it yields no result, so nothing
behind it runs. Only rule names and counts reach metadata: results are BOOLEAN_ONLY, since anything richer quotes rows.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
import pyarrow.compute as pc

from assets.crm import read_months
from assets.guard import guarded
from assets.hidden import published, published_rows, read_released
from assets.marts import MART_SPECS
from assets.release import RELEASED_COLUMNS, RELEASED_OBLIGATION_COLUMNS
from assets.rules import scoring
from assets.rules.decisions import ACCEPTED, DEFERRED, DISMISSED, NEW, REJECTED, REVIEWED
from assets.rules.hidden import SCORE
from assets.rules.policy import MODES
from assets.rules.structure import EXCLUSION_CODES
from assets.scores import FIGURES, read_scores
from assets.star import DIMENSION_SPECS, FACT_SPECS, source_of
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PublishedTable, Session, Warehouse, table

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition

logger = logging.getLogger(__name__)


class AuditFailedError(Exception):
    """A copy broke a rule, so the published tables stay as they are."""


BANDS = ("1-3", "4-6", "7-9", "10+")
_STEPS = [f"{quarters / 4:.2f}" for quarters in range(10, 20)]
SCORE_BANDS = [*_STEPS[1:-1], *(f"<= {step}" for step in _STEPS), ">= 4.75"]
"""Between the lowest clamp of any profile and the top, in steps of 0.25."""


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


_SCOPE_IS_OPEN = _one_of("scope_is_open", "scope", ["open"])

_LEDGER_AGREES = _true("ledger_holds_as_many_hidden_rows", "ledger_agrees")


def _in_ledger(cut: str, where: str = "scope = 'hidden'") -> str:
    """Whether the ledger holds as many published rows of a cut as its table does."""
    return (
        f"(SELECT count() FROM stg.ops_release WHERE cut = '{cut}' AND isNull(withdrawn_at)) "  # noqa: S608 - ours
        f"= countIf({where}) OVER () AS ledger_agrees"
    )


FACT_SELECT = """
    process_key, rating_id, score, exclusion_code, mode,
    mode IN ('open', 'named_to_hr') AS is_named,
    -- A pseudonymous row has no identity of its own: its place stands for one.
    if(is_named, toInt64(rating_id), -1 - toInt64(rowNumberInAllBlocks())) AS identity,
    if(is_named, comment_level, 'ok') AS level,
    is_counted = (exclusion_code = '') AS counted_agrees,
    is_five = ifNull(score = 5, false) AS five_agrees,
    period = toStartOfMonth(period) AS period_is_month,
    (exclusion_code IN ('no_score', 'score_range')) = isNull(score) AS score_agrees,
    ratee_id = 0 OR ratee_sk != 0 AS ratee_is_known,
    process_key IN (SELECT process_key FROM stg.dwh_dim_process) AS process_is_known,
    policy_version IN (SELECT policy_version FROM stg.dwh_dim_policy) OR (NOT is_named AND policy_version = '')
        AS policy_is_known,
    reason_code = '' OR reason_code IN (SELECT reason_code FROM stg.dwh_dim_reason) AS reason_is_known,
    hasAll((SELECT groupArray(rule_code) FROM stg.dwh_dim_rule),
        arrayFilter(code -> code != '', splitByChar(',', comment_rules))) AS rules_are_known,
    NOT has({months:Array(UInt32)}, toYYYYMM(period)) OR (process_key, rating_id, mode) IN
        (SELECT process_key, rating_id, mode FROM stg.released_rating)
        OR (mode, process_key, period, rater_department_id, ratee_department_id, rater_key, score) IN
        (SELECT 'pseudonymous', process_key, period, rater_department_id, ratee_department_id, pseudonym,
            toNullable(score) FROM stg.released_pseudonym) AS is_released
"""
"""`months` are the touched ones: what the vault has forgotten stays published and is in no input."""

PSEUDONYMOUS_SELECT = """,
    mode != 'pseudonymous' OR (rating_id = 0 AND isNull(rated_on) AND ratee_id = 0 AND ratee_sk = 0 AND task_id = 0
        AND comment = '' AND comment_level = '' AND comment_rules = '' AND ruleset_version = '' AND reason_code = ''
        AND policy_version = '' AND match(rater_key, '^[0-9a-f]{32}$')) AS is_anonymous,
    mode != 'pseudonymous' OR (process_key, period, rater_department_id, ratee_department_id) NOT IN
        (SELECT process_key, period, rater_department_id, ratee_department_id FROM stg.dwh_fct_rating
        WHERE mode = 'pseudonymous' GROUP BY ALL HAVING uniqExact(rater_key) < 10) AS has_enough_raters,
    mode != 'pseudonymous' OR rater_key NOT IN
        (SELECT rater_key FROM stg.dwh_fct_rating WHERE mode = 'pseudonymous'
        GROUP BY rater_key HAVING uniqExact(rater_department_id, period) > 1) AS pseudonym_has_one_scope
"""

FACT_RULES = (
    _unique("rating_stands_once", "process_key", "identity"),
    _between("score_is_between_1_and_5", "score", 1, 5),
    _one_of("exclusion_code_is_known", "exclusion_code", ["", *EXCLUSION_CODES]),
    _one_of("comment_level_is_known", "level", ["ok", "weak", "violation"]),
    _true("counted_means_no_exclusion", "counted_agrees"),
    _true("five_means_score_5", "five_agrees"),
    _true("period_is_first_of_month", "period_is_month"),
    _true("missing_score_has_its_code", "score_agrees"),
    _true("ratee_has_a_version", "ratee_is_known"),
    _true("process_is_in_dim_process", "process_is_known"),
    _true("policy_is_in_dim_policy", "policy_is_known"),
    _true("reason_is_in_dim_reason", "reason_is_known"),
    _true("comment_rules_are_in_dim_rule", "rules_are_known"),
    _true("row_was_released_by_the_policy", "is_released"),
)

BRIDGE_SELECT = """
    process_key, rating_id, reason_code,
    abs(sum(weight) OVER (PARTITION BY process_key, rating_id) - 1) < 0.000001 AS weights_add_up,
    (process_key, rating_id, period) IN (SELECT process_key, rating_id, period FROM stg.dwh_fct_rating) AS is_a_fact,
    reason_code IN (SELECT reason_code FROM stg.dwh_dim_reason) AS reason_is_known
"""

OBLIGATION_SELECT = """
    process_key, period, rater_id, ratee_id, task_id, mode,
    multiIf(
        status = 'fulfilled', waiver = '' AND rating_id != 0,
        status = 'missed', waiver = '' AND rating_id = 0,
        status = 'waived', waiver IN ('left', 'below_minimum', 'task_deleted') AND rating_id = 0,
        false
    ) AS status_agrees,
    period = toStartOfMonth(period) AND period = toStartOfMonth(expected_on) AS period_is_month,
    process_key IN (SELECT process_key FROM stg.dwh_dim_process)
        AND policy_version IN (SELECT policy_version FROM stg.dwh_dim_policy) AS members_are_known,
    NOT has({months:Array(UInt32)}, toYYYYMM(period)) OR (process_key, period, rater_id, ratee_id, task_id, mode) IN
        (SELECT process_key, period, rater_id, ratee_id, task_id, mode FROM stg.released_obligation) AS is_released,
    NOT has({months:Array(UInt32)}, toYYYYMM(period)) OR (mode, process_key, rating_id) NOT IN
        (SELECT 'open', process_key, rating_id FROM stg.hr_fct_rating WHERE mode != 'open') AS is_as_open_as_its_rating
"""

SCORE_SELECT = f"""
    scope, ratee_id, window_to, band,
    window_from = toStartOfMonth(window_from) AND window_to = window_from + INTERVAL 5 MONTH
        AND (scope = 'named' OR toMonth(window_from) IN (1, 7)) AS is_a_half_year,
    scope = 'named' OR window_from > lagInFrame(window_to, 1, toDate(0)) OVER (PARTITION BY scope, ratee_id
        ORDER BY window_to ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS stands_apart,
    scope = 'named' OR ({" AND ".join(f"isNull({name})" for name in FIGURES)}) AS hides_figures,
    scope = 'named' OR is_frozen AS is_decided,
    explanation != '' AND method_version != '' AS is_explained,
    ifNull(0 <= lower_bound AND lower_bound <= adjusted_share AND adjusted_share <= upper_bound AND upper_bound <= 1,
        isNull(ratings)) AS is_ordered,
    ratee_id IN (SELECT employee_id FROM stg.dwh_dim_employee) AS ratee_is_known,
    scope = 'hidden' OR is_frozen OR (ratee_id, window_to, assumeNotNull(ratings), assumeNotNull(raters),
        assumeNotNull(months), round(assumeNotNull(mean_score * ratings)),
        round(assumeNotNull(share_of_fives * ratings))) IN
    (
        SELECT ratee_id, window_to, count(), uniqExact(rater_id), uniqExact(period), toFloat64(sum(score)),
            toFloat64(countIf(is_five))
        FROM (SELECT * FROM stg.hr_fct_rating WHERE is_counted) AS rated
        CROSS JOIN
        (
            SELECT DISTINCT window_from, window_to FROM stg.hr_fct_score WHERE scope = 'named' AND NOT is_frozen
        ) AS windows
        WHERE period BETWEEN window_from AND window_to
        GROUP BY ratee_id, window_to
    ) AS adds_up
"""  # noqa: S608 - names are ours
"""Frozen rows are older than some of the ratings they would be compared with."""

SIGNAL_SELECT = """
    signal_type, rater_id, ratee_id, window_to, status,
    window_from = toStartOfMonth(window_from) AND window_to = window_from + INTERVAL 5 MONTH AS is_a_half_year,
    isFinite(strength) AND ratings > 0 AND title != '' AND explanation != '' AS is_explained,
    is_frozen OR (rater_id, ratee_id) IN (SELECT rater_id, ratee_id FROM stg.hr_fct_rating)
        OR (rater_id, ratee_id) IN (SELECT rater_id, ratee_id FROM stg.hr_fct_rating_event)
        OR (ratee_id = 0 AND rater_id IN (SELECT rater_id FROM stg.hr_fct_rating)) AS is_about_named_ratings
"""

DECISION_SELECT = """
    number, decision, reason_level,
    is_counted = (exclusion_code = '') AS counted_agrees,
    NOT is_counted OR (recommendation != '' AND decision != '' AND reason_level != 'violation') AS is_about_something,
    NOT is_counted OR (scope, ratee_id, period, recommendation) IN
        (SELECT scope, ratee_id, window_to, band FROM stg.hr_fct_score) AS recommendation_agrees,
    is_different = (is_counted AND decision = 'rejected') AS difference_agrees
"""

BLOCK_SELECT = """
    ratee_id, process_key, block_from, rater_band, score_band,
    rater_band != '1-3' OR (block_from, block_to) IN
        (SELECT window_from, window_to FROM stg.ops_release WHERE cut = 'rating_block' AND profile = 'small_company')
        AS has_enough_raters,
    block_from <= block_to AND block_to <= block_from + INTERVAL 5 MONTH AS is_short,
    block_from > lagInFrame(block_to, 1, toDate(0)) OVER (PARTITION BY ratee_id, process_key ORDER BY block_from
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS stands_apart,
"""

PAIR = ("scope", "period_from", "process_key", "rater_department_id", "ratee_department_id")

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
        table("dwh", "fct_rating"),
        FACT_SELECT + PSEUDONYMOUS_SELECT,
        (
            *FACT_RULES,
            _one_of("mode_is_open_or_pseudonymous", "mode", ["open", "pseudonymous"]),
            _true("pseudonymous_rows_show_nothing_but_scores", "is_anonymous"),
            _true("pseudonymous_cells_hold_at_least_10_raters", "has_enough_raters"),
            _true("pseudonym_holds_for_one_department_and_month", "pseudonym_has_one_scope"),
        ),
    ),
    ("hr", "fct_rating"): Suite(
        table("hr", "fct_rating"), FACT_SELECT, (*FACT_RULES, _one_of("mode_is_named", "mode", ["open", "named_to_hr"]))
    ),
    ("dwh", "bridge_rating_reason"): Suite(
        table("dwh", "bridge_rating_reason"),
        BRIDGE_SELECT,
        (
            _unique("reason_of_a_rating_stands_once", "process_key", "rating_id", "reason_code"),
            _true("weights_of_a_rating_add_up_to_1", "weights_add_up"),
            _true("rating_is_in_fct_rating", "is_a_fact"),
            _true("reason_is_in_dim_reason", "reason_is_known"),
        ),
    ),
    ("hr", "fct_obligation"): Suite(
        table("hr", "fct_obligation"),
        OBLIGATION_SELECT,
        (
            _unique("obligation_stands_once", "process_key", "period", "rater_id", "ratee_id", "task_id"),
            _true("status_waiver_and_rating_agree", "status_agrees"),
            _one_of("mode_is_named", "mode", ["open", "named_to_hr"]),
            _true("period_is_month_of_closing", "period_is_month"),
            _true("process_and_policy_are_in_their_dimensions", "members_are_known"),
            _true("row_was_released_by_the_policy", "is_released"),
            _true("row_is_no_more_open_than_its_rating", "is_as_open_as_its_rating"),
        ),
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
    ("hr", "fct_score"): Suite(
        table("hr", "fct_score"),
        SCORE_SELECT,
        (
            _unique("score_stands_once", "scope", "ratee_id", "window_to"),
            _one_of("scope_is_known", "scope", ["named", "hidden"]),
            _one_of("band_is_known", "band", scoring.BANDS),
            _true("window_is_a_half_year", "is_a_half_year"),
            _true("bounds_enclose_the_share_between_0_and_1", "is_ordered"),
            _true("score_says_why_and_by_which_method", "is_explained"),
            _true("ratee_has_a_version", "ratee_is_known"),
            _true("figures_follow_from_named_ratings", "adds_up"),
            _true("hidden_rows_show_no_figures", "hides_figures"),
            _true("hidden_windows_of_a_ratee_never_overlap", "stands_apart"),
            _true("hidden_rows_are_decided_for_good", "is_decided"),
        ),
    ),
    ("hr", "fct_signal"): Suite(
        table("hr", "fct_signal"),
        SIGNAL_SELECT,
        (
            _unique("signal_stands_once", "signal_type", "rater_id", "ratee_id", "window_to"),
            _one_of("status_is_known", "status", [NEW, REVIEWED, DISMISSED]),
            _true("window_is_a_half_year", "is_a_half_year"),
            _true("signal_says_what_it_rests_on", "is_explained"),
            _true("signal_is_about_named_ratings", "is_about_named_ratings"),
        ),
    ),
    ("hr", "fct_decision"): Suite(
        table("hr", "fct_decision"),
        DECISION_SELECT,
        (
            _unique("decision_stands_once", "number"),
            _one_of("decision_is_known", "decision", [ACCEPTED, REJECTED, DEFERRED, ""]),
            _one_of("reason_level_is_known", "reason_level", ["ok", "weak", "violation"]),
            _true("counted_means_no_exclusion", "counted_agrees"),
            _true("counted_decisions_have_a_recommendation_and_a_reason", "is_about_something"),
            _true("recommendation_is_the_published_one", "recommendation_agrees"),
            _true("different_means_rejected", "difference_agrees"),
        ),
    ),
    ("mart", "department_pair"): Suite(
        table("mart", "department_pair"),
        "scope, period_from, process_key, rater_department_id, ratee_department_id, rater_band, mean_score, "
        f"{_in_ledger('department_pair')}, "
        "scope = 'open' OR abs(mean_score * 10 - round(mean_score * 10)) < 0.000001 AS is_rounded, "
        "scope = 'open' OR period_to = period_from + INTERVAL 2 MONTH AS is_a_quarter, "
        "scope = 'open' OR (isNull(ratings) AND isNull(share_of_fives) AND isNull(coverage) "
        "AND isNull(explained_share) AND isNull(mean_score_all) AND isNull(share_of_fives_all) "
        "AND isNull(unexplained_share) AND rater_band != '1-3') AS hides_counts",
        (
            _unique("pair_stands_once", *PAIR),
            _between("mean_score_is_between_1_and_5", "mean_score", 1, 5),
            _one_of("rater_band_is_known", "rater_band", BANDS),
            _true("hidden_rows_show_no_counts", "hides_counts"),
            _true("hidden_means_are_rounded_to_0_1", "is_rounded"),
            _true("hidden_windows_are_quarters", "is_a_quarter"),
            _LEDGER_AGREES,
        ),
    ),
    ("mart", "rating_block"): Suite(
        table("mart", "rating_block"),
        BLOCK_SELECT + _in_ledger("rating_block", "true"),
        (
            _unique("block_stands_once", "ratee_id", "process_key", "block_from"),
            _one_of("rater_band_is_known", "rater_band", BANDS),
            _one_of("score_band_is_known", "score_band", SCORE_BANDS),
            _true("three_raters_only_in_small_companies", "has_enough_raters"),
            _true("block_is_no_longer_than_6_months", "is_short"),
            _true("blocks_of_a_ratee_never_overlap", "stands_apart"),
            _LEDGER_AGREES,
        ),
    ),
    ("mart", "coverage"): Suite(
        table("mart", "coverage"),
        "scope, period_from, process_key, rater_department_id, ratee_department_id, "
        f"{_in_ledger('coverage')}, "
        "ifNull(coverage BETWEEN 0 AND 1, true) AND ifNull(timeliness BETWEEN 0 AND 1, true) AS are_shares, "
        "scope = 'hidden' OR expected = fulfilled + missed + waived_left + waived_below_minimum + waived_task_deleted "
        "AS adds_up, "
        "scope = 'open' OR (isNull(expected) AND isNull(fulfilled) AND isNull(missed) AND isNull(waived_left) "
        "AND isNull(waived_below_minimum) AND isNull(waived_task_deleted) AND isNull(timeliness)) AS hides_counts, "
        "scope = 'open' OR abs(coverage * 20 - round(coverage * 20)) < 0.000001 AS is_rounded",
        (
            _unique("pair_stands_once", *PAIR),
            _true("coverage_and_timeliness_are_shares", "are_shares"),
            _true("every_expected_rating_has_its_status", "adds_up"),
            _true("hidden_rows_show_no_counts", "hides_counts"),
            _true("hidden_coverage_is_rounded_to_0_05", "is_rounded"),
            _LEDGER_AGREES,
        ),
    ),
    ("mart", "reason"): Suite(
        table("mart", "reason"),
        "scope, period_from, process_key, rater_department_id, ratee_department_id, reason_code, "
        f"{_in_ledger('reason')}, "
        "scope = 'hidden' OR abs(sum(form_weight + auto_weight) OVER (PARTITION BY scope, period_from, process_key, "
        "rater_department_id, ratee_department_id) - low_ratings) < 0.001 AS weights_add_up, "
        "scope = 'open' OR (isNull(form_weight) AND isNull(auto_weight) AND isNull(weight) AND isNull(low_ratings) "
        "AND process_key = '*' AND rater_department_id = 0) AS hides_counts, "
        "scope = 'open' OR (share BETWEEN 0.1 AND 1 AND abs(share * 10 - round(share * 10)) < 0.000001) AS is_rounded",
        (
            _unique("reason_stands_once", *PAIR, "reason_code"),
            _true("weights_add_up_to_ratings", "weights_add_up"),
            _true("hidden_rows_show_no_counts", "hides_counts"),
            _true("hidden_shares_are_rounded_to_0_1", "is_rounded"),
            _LEDGER_AGREES,
        ),
    ),
    ("mart", "rule_violation"): Suite(
        table("mart", "rule_violation"),
        "scope, period_from, process_key, rater_department_id, rule_code, severity, "
        f"{_in_ledger('rule_violation')}, "
        "scope = 'hidden' OR severity = 'info' OR ratings <= low_ratings AS is_a_share, "
        "scope = 'open' OR (isNull(ratings) AND isNull(low_ratings) AND process_key = '*' AND severity != 'info') "
        "AS hides_counts, "
        "scope = 'open' OR (share BETWEEN 0.1 AND 1 AND abs(share * 10 - round(share * 10)) < 0.000001) AS is_rounded",
        (
            _unique("rule_stands_once", "scope", "period_from", "process_key", "rater_department_id", "rule_code"),
            _one_of("severity_is_known", "severity", ["violation", "weak", "info"]),
            _true("only_lowered_scores_break_rules", "is_a_share"),
            _true("hidden_rows_show_no_counts", "hides_counts"),
            _true("hidden_shares_are_rounded_to_0_1", "is_rounded"),
            _LEDGER_AGREES,
        ),
    ),
    ("mart", "comment_queue"): Suite(table("mart", "comment_queue"), "scope", (_SCOPE_IS_OPEN,)),
    ("mart", "comment_feed"): Suite(
        table("mart", "comment_feed"),
        f"{_in_ledger('comment_feed')}, "
        "scope = 'open' OR (period_from = toDate(0) AND period_to = toDate(0) AND isNull(rater_department_id) "
        "AND isNull(rater_department) AND isNull(ratee) AND isNull(rater) AND isNull(rated_on) AND isNull(score) "
        "AND isNull(comment_level) AND isNull(comment_rules) AND isNull(reason_code)) AS is_text_only, "
        "scope = 'open' OR countIf(scope = 'hidden') OVER (PARTITION BY process_key, ratee_department_id) >= 3 "
        "AS is_pooled",
        (
            _true("hidden_comments_are_text_only", "is_text_only"),
            _true("hidden_comments_come_in_pools", "is_pooled"),
            _LEDGER_AGREES,
        ),
    ),
}

CHECK = "audit"
"""Name of each table's check in Dagster. One check holds all rules of a table, since a run pays for each check with
four records in Dagster's storage; which rules broke stands in its metadata and in the error."""

ROWS_ADD_UP = "no_released_row_is_lost"
"""Facts only: the copy holds as many rows of the touched months as the vault released."""


def _stage_check(name: str, assets: Sequence[dg.AssetSpec]) -> dg.AssetChecksDefinition:
    """One blocking multi-check over the suites of sibling assets."""
    suites = [SUITES[path] for path in ((asset.key.path[0], asset.key.path[1]) for asset in assets) if path in SUITES]
    specs = [
        dg.AssetCheckSpec(
            CHECK,
            asset=[suite.target.database, suite.target.name],
            blocking=True,
            description="; ".join(_rule_names(suite)),
        )
        for suite in suites
    ]

    @dg.multi_asset_check(name=name, specs=specs)
    @guarded
    def audit(
        context: dg.AssetCheckExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        vault: dg.ResourceParam[Vault],
    ) -> Iterator[dg.AssetCheckResult]:
        broken: list[str] = []
        frames = frames_for_suites()
        with warehouse.session(name) as db:
            for suite in suites:
                verdict = _verdict(suite, db, vault, frames)
                broken += [f"{suite.target.full_name} breaks {rule}" for rule in verdict.broken]
                yield verdict.result(suite)
            if not broken:
                db.note_step(context.run.run_id, name)
        if broken:
            raise AuditFailedError(f"The audit failed: {', '.join(broken)}; published tables are as they were.")

    return audit


def _rule_names(suite: Suite) -> list[str]:
    names = [rule.name for rule in suite.rules]
    return [*names, ROWS_ADD_UP] if _comes_from_the_vault(suite.target) else names


def _comes_from_the_vault(target: PublishedTable) -> bool:
    return target.rebuilt == "periods" or target.database == "hr"


@dataclass(frozen=True)
class _Verdict:
    """What came of a suite."""

    broken: list[str]
    counts: dict[str, int]

    def result(self, suite: Suite) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=not self.broken,
            asset_key=[suite.target.database, suite.target.name],
            check_name=CHECK,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"rules": len(_rule_names(suite)), "broken": self.broken, **self.counts},
        )


def _verdict(suite: Suite, db: Session, vault: Vault, frames: "BatchDefinition[Any]") -> _Verdict:
    target = suite.target
    months = {"months": [int(key.replace("-", "")) for key in vault.periods(source_of(target))]}
    frame = db.query(f"SELECT {suite.select} FROM {target.staged}", months).to_pandas()  # noqa: S608 - names are ours
    broken = [rule for rule, passed in run_suite(suite, frame, frames).items() if not passed]
    counts = {"rows": len(frame)}
    if _comes_from_the_vault(target):
        counts |= _released_and_staged(suite, db, vault)
        broken += [ROWS_ADD_UP] if counts["released"] != counts["staged"] else []
    logger.info("audit: %s: %d rules over %d rows", target.full_name, len(_rule_names(suite)), len(frame))
    return _Verdict(broken, counts)


def frames_for_suites() -> "BatchDefinition[Any]":
    """What suites validate a frame through; making it costs more than most suites, so an audit makes one."""
    # 3 to 8 s of import: paid by the step that audits, never by a code location that loads.
    import great_expectations as gx
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
    return (
        context.data_sources.add_pandas("copy").add_dataframe_asset("table").add_batch_definition_whole_dataframe("all")
    )


def run_suite(suite: Suite, frame: pd.DataFrame, frames: "BatchDefinition[Any]") -> dict[str, bool]:
    """Validates a frame with Great Expectations.

    Returns:
        Verdict by rule name. A rule that could not be evaluated counts as broken.
    """
    if frame.empty:
        return {rule.name: True for rule in suite.rules}
    import great_expectations as gx
    import great_expectations.expectations as gxe

    gx_suite = gx.ExpectationSuite(name=suite.target.full_name)
    for rule in suite.rules:
        expectation = rule.build(gxe)
        expectation.meta = {"rule": rule.name}
        gx_suite.add_expectation(expectation)
    report = frames.get_batch({"dataframe": frame}).validate(gx_suite, result_format="BOOLEAN_ONLY")
    verdicts = {
        result.expectation_config.meta["rule"]: bool(result.success)
        for result in report.results
        if result.expectation_config is not None
    }
    return {rule.name: verdicts.get(rule.name, False) for rule in suite.rules}


def _released_and_staged(suite: Suite, db: Session, vault: Vault) -> dict[str, int]:
    target = suite.target
    if target.rebuilt == "whole":
        named, signalled = read_scores(vault)
        parts = {
            "fct_score": [named, published(read_released(vault), SCORE)],
            "fct_signal": [signalled],
            "fct_decision": [vault.read("decision", CURRENT)],
        }
        return {"released": sum(map(len, parts[target.name])), "staged": db.count(target.staged)}
    keys = vault.periods(source_of(target))
    if target.name == "fct_rating_event":
        rows = vault.read("released_event", CURRENT)
    elif target.name == "fct_obligation":
        rows = read_months(vault, "released_obligation", keys, RELEASED_OBLIGATION_COLUMNS)
    else:
        rows = read_months(vault, "released", keys, RELEASED_COLUMNS)
    if target.database == "dwh":
        rows = rows.filter(pc.equal(rows["mode"], "open"))
    released_rows = len(rows)
    if target.full_name == "dwh.fct_rating":
        released_rows += len(published_rows(read_released(vault)))
    if target.name == "bridge_rating_reason":
        tagged = rows.filter(pc.not_equal(rows["reason_codes"], ""))
        released_rows = len(tagged) + (pc.sum(pc.count_substring(tagged["reason_codes"], ",")).as_py() or 0)
    staged = db.rows(
        f"SELECT count() AS n FROM {target.staged} "  # noqa: S608 - names are ours
        "WHERE toYYYYMM(period) IN {months:Array(UInt32)}",
        {"months": [int(key.replace("-", "")) for key in keys]},
    )
    return {"released": released_rows, "staged": int(staged[0]["n"])}


dimensions_audit = _stage_check("dimensions_audit", DIMENSION_SPECS)
facts_audit = _stage_check("facts_audit", FACT_SPECS)
marts_audit = _stage_check("marts_audit", MART_SPECS)

CHECKS = [dimensions_audit, facts_audit, marts_audit]
STEPS = ("inputs", "dimensions_audit", "facts_audit", "marts_audit")
"""What a run must have done with its copies before they may be published."""
