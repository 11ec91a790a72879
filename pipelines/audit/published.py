"""What a warehouse publishes, read as its most curious reader can.

Belongs here: the queries, the truth of the demo company. Does not belong here: any attack.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from assets.rules.mixed_model import Floats
from assets.rules.policy import PolicyEntry
from pipelines.audit.evidence import Release, Truth
from pipelines.demo import digest
from pipelines.settings import Settings
from sources.stand_in.company import generate
from sources.stand_in.state import PortalState
from warehouse_sql.warehouse import Session

BLOCKS = "SELECT ratee_id, process_key, block_from, block_to, rater_band, score_band FROM mart.rating_block"
PAIRS = """
    SELECT process_key, rater_department_id, ratee_department_id, period_from, period_to, rater_band, mean_score
    FROM mart.department_pair WHERE scope = 'hidden'
"""
ROWS = """
    SELECT process_key, period, rater_department_id, ratee_department_id, rater_key AS pseudonym, score
    FROM dwh.fct_rating WHERE mode = 'pseudonymous'
"""
COMMENTS = "SELECT process_key, ratee_department_id, comment FROM mart.comment_feed WHERE scope = 'hidden'"
REASONS = "SELECT ratee_department_id, period_from, reason_code, share FROM mart.reason WHERE scope = 'hidden'"
VIOLATIONS = """
    SELECT rater_department_id, period_from, rule_code, share FROM mart.rule_violation WHERE scope = 'hidden'
"""
COVERAGE = """
    SELECT process_key, period_from, rater_department_id, ratee_department_id, coverage
    FROM mart.coverage WHERE scope = 'hidden'
"""
BANDS = "SELECT ratee_id, window_from, window_to, band FROM hr.fct_score WHERE scope = 'hidden'"
SCORES = "SELECT * FROM hr.fct_score"
NAMED_ROWS = "SELECT ratee_id, rater_id, period, score FROM hr.fct_rating WHERE is_counted"
NUMBERS = """
    SELECT concat(database, '.', table) AS table, name, position(type, 'Float') > 0 AS is_fraction FROM system.columns
    WHERE database IN ('dwh', 'hr', 'mart', 'ops', 'stg') AND match(type, 'Float|Decimal|Int')
"""
OPEN_ROWS = """
    SELECT process_key, period, rater_department_id, ratee_department_id, score
    FROM dwh.fct_rating WHERE mode = 'open' AND is_counted
"""
OPEN_TOTALS = """
    SELECT process_key, period_from, rater_department_id, ratee_department_id, ratings, mean_score
    FROM mart.department_pair WHERE scope = 'open' AND ratings > 0
"""
PARTS = """
    SELECT concat(database, '.', table) AS table, partition, count() AS parts,
        uniqExact(modification_time) AS moments
    FROM system.parts
    WHERE active AND database = 'mart' AND (partition = 'hidden' OR table = 'rating_block')
    GROUP BY database, table, partition
"""
COLUMNS = """
    SELECT concat(database, '.', table) AS table, name FROM system.columns
    WHERE database IN ('dwh', 'hr', 'mart', 'ops', 'stg') AND type LIKE '%String%'
"""
FEW_VALUES = 40
SALTS = 100

_DIGEST = re.compile(r"[0-9a-fA-F]{32,128}")


@dataclass(frozen=True)
class Published:
    """Everything read from one warehouse.

    Attributes:
        release: published hidden rows, with the truth if it is known.
        open_rows: counted ratings shown by name.
        totals: published open department pairs.
        parts: active parts of hidden partitions.
        digests: hexadecimal strings of 32 digits or more in any column.
        salts: strings that could have been a salt: configuration and columns of few values.
        people: ids of employees.
        texts: every text that is shown: comments, titles.
        scores: `hr.fct_score`.
        named_rows: counted ratings that HR reads by name.
        number_columns: (table, name) of columns of numbers.
        fractions: distinct values by column of fractions.
    """

    release: Release
    open_rows: pd.DataFrame
    totals: pd.DataFrame
    parts: pd.DataFrame
    digests: list[str]
    salts: list[str]
    people: list[int]
    texts: list[str]
    scores: pd.DataFrame
    named_rows: pd.DataFrame
    number_columns: list[tuple[str, str]]
    fractions: dict[str, Floats]


def read(settings: Settings, truth: Truth | None) -> Published:
    """Reads the warehouse."""
    with settings.warehouse().session("audit") as db:
        digests, salts, texts = _strings(db)
        columns = db.rows(NUMBERS)
        return Published(
            release=Release(
                name=settings.warehouse().place,
                profile=settings.file.release.profile,
                blocks=_frame(db, BLOCKS),
                pairs=_frame(db, PAIRS),
                rows=_frame(db, ROWS),
                comments=_frame(db, COMMENTS),
                reasons=_frame(db, REASONS),
                violations=_frame(db, VIOLATIONS),
                coverage=_frame(db, COVERAGE),
                bands=_frame(db, BANDS),
                truth=truth,
            ),
            open_rows=_frame(db, OPEN_ROWS),
            totals=_frame(db, OPEN_TOTALS),
            parts=_frame(db, PARTS),
            digests=digests,
            salts=sorted({*salts, *_scalars(settings)}, key=lambda salt: (len(salt), salt))[:SALTS],
            people=[int(row["id"]) for row in db.rows("SELECT DISTINCT employee_id AS id FROM dwh.dim_employee")],
            texts=texts,
            scores=_frame(db, SCORES),
            named_rows=_frame(db, NAMED_ROWS),
            number_columns=[(str(column["table"]), str(column["name"])) for column in columns],
            fractions={
                f"{column['table']}.{column['name']}": _fractions(db, column["table"], column["name"])
                for column in columns
                if column["is_fraction"]
            },
        )


def _frame(db: Session, sql: str) -> pd.DataFrame:
    frame: pd.DataFrame = db.query(sql).to_pandas()
    for column in frame.columns:
        if isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame[column] = frame[column].astype("str")
    if "score" in frame:
        frame["score"] = frame["score"].astype("float64")
    return frame


def _strings(db: Session) -> tuple[list[str], set[str], list[str]]:
    """Digests, possible salts and long texts in all columns of text."""
    digests: set[str] = set()
    salts: set[str] = set()
    texts: set[str] = set()
    for column in db.rows(COLUMNS):
        sql = f"SELECT DISTINCT toString(`{column['name']}`) AS value FROM {column['table']}"  # noqa: S608 - names of the schema
        values = [str(row["value"]) for row in db.rows(sql) if row["value"]]
        found = {value for value in values if _DIGEST.fullmatch(value)}
        digests |= found
        if len(values) <= FEW_VALUES:
            salts |= {value for value in values if len(value) <= FEW_VALUES} - found
        texts |= {value for value in values if len(value) >= 8}
    return sorted(digests), salts, sorted(texts)


def _fractions(db: Session, table: str, name: str) -> Floats:
    sql = f"SELECT DISTINCT `{name}` AS value FROM {table} WHERE value IS NOT NULL ORDER BY value"  # noqa: S608 - names of the schema
    return np.array([row["value"] for row in db.rows(sql)], dtype="float64")


def _scalars(settings: Settings) -> set[str]:
    found: set[str] = set()
    waiting: list[object] = [settings.file.model_dump(mode="json")]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif value is not None:
            found.add(str(value))
    return found


def demo_company(settings: Settings) -> PortalState | None:
    """The company of a demo, if this Estafeta still makes up the same one and its policy was not edited.

    Args:
        settings: of the demo's folder, where `company.json` says what it was made of.
    """
    try:
        stamp = json.loads((settings.state_path / "company.json").read_text(encoding="utf-8"))
        state = generate(int(stamp["seed"]), "demo", datetime.fromisoformat(stamp["now"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    lines = tuple(PolicyEntry.model_validate(line) for line in state.config["policies"])
    return state if stamp.get("company") == digest(state) and settings.policy.entries == lines else None
