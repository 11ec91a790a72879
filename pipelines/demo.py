"""The demo: a made-up company behind a portal on this machine, and the whole pipeline over it.

Belongs here: the demo's folder, its portal, what it prints. Does not belong here: the company (`sources/stand_in`), the
run (`running.py`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from pathlib import Path

import yaml
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from pipelines.running import RunReport, execute
from pipelines.settings import Secrets, Settings
from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, PortalState
from sources.vault import VaultKey

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
    config = state.config | {"warehouse": {"path": "warehouse"}, "vault": {"path": "vault"}}
    file = folder / "estafeta.yaml"
    file.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return file


def run_demo(console: Console) -> None:
    """Serves the company, runs the pipeline over it and says where to look."""
    now = midnight()
    state = generate(SEED, "demo", now)
    file = prepare(FOLDER, state, {"seed": SEED, "now": now.isoformat(), "company": digest(state)})
    with StandInPortal(state) as portal:
        secrets = Secrets(bitrix24_webhook_url=SecretStr(portal.webhook), estafeta_key_file=FOLDER / "key")
        report = execute(Settings.load(file, secrets))
    show(console, report)
    console.print("\nLook at it:")
    for what, command in (
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
