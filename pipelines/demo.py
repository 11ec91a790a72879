"""The demo: a made-up company behind a portal on this machine, and the whole pipeline over it.

Belongs here: the demo's folder, its portal, what it prints. Does not belong here: the company (`sources/stand_in`), the
run (`running.py`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from pipelines.dashboards import write_preview
from pipelines.running import RunReport, execute
from pipelines.settings import Secrets, Settings
from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, PortalState
from sources.vault import VaultKey
from warehouse_sql.warehouse import Warehouse

FOLDER = Path(".estafeta/demo")
SEED = 1


def midnight() -> datetime:
    """The demo portal's clock: today at 00:00, so that a second demo of the day finds the same company."""
    return datetime.now(MOSCOW).replace(hour=0, minute=0, second=0, microsecond=0)


def digest(state: PortalState) -> str:
    """Tells one company from another: a newer Estafeta may make up a different one from the same seed."""
    elements = [process.items for process in state.processes.values()]
    content = json.dumps([elements, state.users, state.departments, state.config], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def prepare(folder: Path, state: PortalState, stamp: dict[str, object]) -> Path:
    """Makes the demo's folder, key and configuration; another company than last time starts from nothing.

    Returns:
        The configuration file.
    """
    note = folder / "company.json"
    if folder.exists() and (not note.exists() or json.loads(note.read_text(encoding="utf-8")) != stamp):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    note.write_text(json.dumps(stamp), encoding="utf-8")
    if not (folder / "key").exists():
        VaultKey.create(folder / "key")
    config = state.config | {
        "warehouse": {"path": "warehouse"},
        "vault": {"path": "vault"},
        "agreements": {"csv": "agreements.csv"},
    }
    write_agreements(folder / "agreements.csv", state)
    file = folder / "estafeta.yaml"
    file.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return file


def write_agreements(file: Path, state: PortalState) -> None:
    """What heads of the made-up company agreed, with days relative to the portal's clock."""
    heads = {int(row["ID"]): row.get("UF_HEAD", "") for row in state.departments.values()}
    today = midnight().date()
    lines = [
        "Договорились;Процесс;Исполнитель;Постановщик;Причина;О чём договорились;Ответственный (ID);Срок;Сделано",
        *(
            f"{today - timedelta(days=days)};{process};{rater};{ratee};{reason};{text};{heads[ratee]};"
            f"{today - timedelta(days=days - 45)};{done}"
            for days, process, rater, ratee, reason, text, done in AGREEMENTS
        ),
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


AGREEMENTS = (
    (150, "support", 18, 10, "Ошибки в данных", "К обращению прикладывают версию и шаги", "да"),
    (95, "logistics", 20, 15, "Нереальный или поздний срок", "Заявки на завтра — до 15:00", "да"),
    (60, "salary", 12, 11, "Нет материалов или доступов", "Начинают с заполненной карточкой сотрудника", ""),
    (40, "production", 15, 7, "Неполная или неясная постановка", "Бриф по шаблону, с размерами и сроком", ""),
)
"""Days ago, process, department that executes, department that sets, reason, text, done."""


def run_demo(console: Console) -> None:
    """Serves the company, runs the pipeline over it and says where to look."""
    now = midnight()
    state = generate(SEED, "demo", now)
    file = prepare(FOLDER, state, {"seed": SEED, "now": now.isoformat(), "company": digest(state)})
    with StandInPortal(state) as portal:
        secrets = Secrets(bitrix24_webhook_url=SecretStr(portal.webhook), estafeta_key_file=FOLDER / "key")
        settings = Settings.load(file, secrets)
        report = execute(settings)
    show(console, report)
    show_worth(console, settings.warehouse())
    dashboards = write_preview(settings, FOLDER / "dashboards", with_hr=True)
    console.print("\nLook at it:")
    for what, command in (
        ("the dashboards", f"xdg-open {dashboards}"),
        ("the warehouse over HTTP", f".venv/bin/estafeta warehouse serve --config {file}"),
        (
            "and in another terminal",
            "curl -s http://127.0.0.1:8123/ --data 'SELECT * FROM mart.department_pair LIMIT 9'",
        ),
        ("the assets in Dagster", f"DAGSTER_HOME=$PWD/{FOLDER}/dagster .venv/bin/dagster dev -w workspace.yaml"),
        ("the portal by itself", ".venv/bin/estafeta portal serve --config-out portal.yaml"),
    ):
        console.print(f"  {what:24} [bold]{command}[/bold]", soft_wrap=True)


def show(console: Console, report: RunReport) -> None:
    """Prints what was read, excluded (by code) and released (by mode), and the published tables."""
    counts = Table(title="Ratings", title_justify="left", box=None, padding=(0, 2), show_header=False)
    for measure, title in (("read", "read"), ("excluded", "excluded"), ("released", "mode")):
        items = report.counts[measure]
        counts.add_row(f"[bold]{title}[/bold]", "", f"[bold]{sum(items.values())}[/bold]")
        for item, number in sorted(items.items(), key=lambda pair: -pair[1]):
            counts.add_row("", item, str(number))
    counts.columns[2].justify = "right"
    console.print(counts)
    tables = Table(title="\nPublished tables", title_justify="left", box=None, padding=(0, 2), show_header=False)
    for name, rows in report.rows.items():
        tables.add_row(name, str(rows), "changed" if name in report.changed else "as before")
    tables.columns[1].justify = "right"
    console.print(tables)


# Worth of comments, reasons and coverage: open scope, all months together. First column of each: what the row is.
RULES = """
    SELECT title, severity, sum(ratings) AS ratings FROM mart.rule_violation
    WHERE scope = 'open' AND severity != 'info' GROUP BY rule_code, title, severity ORDER BY ratings DESC, title
"""
DEPARTMENTS = """
    SELECT rater_department, sum(low) AS lowered, sum(bad) AS unexplained, unexplained / lowered AS share FROM
    (
        SELECT rater_department, weight AS low, 0 AS bad FROM mart.reason WHERE scope = 'open'
        UNION ALL
        SELECT rater_department, 0, 1 FROM mart.comment_queue WHERE scope = 'open' AND comment_level = 'violation'
    )
    GROUP BY rater_department HAVING unexplained > 0 ORDER BY unexplained DESC, rater_department
"""
REASONS = """
    SELECT title, sum(weight) AS ratings, ratings / (SELECT sum(weight) FROM mart.reason WHERE scope = 'open') AS share
    FROM mart.reason WHERE scope = 'open' GROUP BY reason_code, title ORDER BY ratings DESC, title LIMIT 6
"""
COVERAGE = """
    SELECT process_key, sum(expected) AS expected, sum(fulfilled) AS given, sum(missed) AS missed,
        expected - given - missed AS waived, given / nullIf(given + missed, 0) AS share
    FROM mart.coverage WHERE scope = 'open' GROUP BY process_key ORDER BY process_key
"""
FIGURES = """
    WITH rated AS
    (
        SELECT *, score < comment_required_below AS is_low
        FROM dwh.fct_rating INNER JOIN dwh.dim_process USING (process_key)
        WHERE mode = 'open' AND exclusion_code IN ('', 'unexplained')
    )
    SELECT basis, count() AS ratings, countIf(NOT is_counted) / ratings AS left_out, avg(score) AS mean,
        countIf(is_five) / ratings AS fives, countIf(is_low) AS lowered,
        countIf(is_low AND comment_level != 'violation') / nullIf(lowered, 0) AS explained
    FROM (SELECT *, arrayJoin(if(is_counted, ['counted', 'all'], ['all'])) AS basis FROM rated)
    GROUP BY basis ORDER BY basis DESC
"""
# Scores and signals: the last half-year that is complete; named and hidden ones end in different months.
BANDS = """
    SELECT scope, concat(toString(window_from), ' .. ', toString(window_to)) AS months, band, count() AS people
    FROM hr.fct_score
    WHERE (scope, window_to) IN (SELECT scope, max(window_to) FROM hr.fct_score WHERE is_frozen GROUP BY scope)
    GROUP BY scope, months, band ORDER BY scope DESC, people DESC, band
"""
SIGNALS = """
    SELECT title, count() AS signals FROM hr.fct_signal
    WHERE window_to = (SELECT max(window_to) FROM hr.fct_score WHERE scope = 'named' AND is_frozen)
    GROUP BY title ORDER BY signals DESC, title
"""


def show_worth(console: Console, warehouse: Warehouse) -> None:
    """Prints what ratings are worth: comment rules, shares explained and excluded, reasons, coverage, bands."""
    with warehouse.session("demo") as db:
        tables = {
            "Comments that break a rule (open scope)": db.rows(RULES),
            "Unexplained scores by rater department": db.rows(DEPARTMENTS),
            "With and without the unexplained": db.rows(FIGURES),
            "Reasons of lowered scores": db.rows(REASONS),
            "Coverage by process": db.rows(COVERAGE),
            "Bands of the last complete half-year (HR only)": db.rows(BANDS),
            "Signals in it (HR only)": db.rows(SIGNALS),
        }
    for title, rows in tables.items():
        if rows:
            console.print(_aligned(title, rows))


def _aligned(title: str, rows: list[dict[str, Any]]) -> Table:
    """A table without frame: texts to the left, figures to the right, shares in per cent."""
    table = Table(title=f"\n{title}", title_justify="left", box=None, padding=(0, 2), header_style="dim")
    for name, value in rows[0].items():
        table.add_column(name.replace("_", " "), justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(_text(name, value) for name, value in row.items()))
    return table


def _text(column: str, value: Any) -> str:  # noqa: ANN401 - a cell of any type
    if value is None:
        return ""
    if column in {"share", "fives", "left_out", "explained"}:
        return f"{value:.1%}"
    if column == "mean":
        return f"{value:.2f}"
    return f"{value:.0f}" if isinstance(value, float) else str(value)
