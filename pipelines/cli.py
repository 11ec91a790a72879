"""The command line. Exit status: 0 done, 1 failed with one clear sentence on stderr, 2 wrong usage.

Belongs here: commands, what they print, the lock that keeps runs apart. Does not belong here: what a run does
(`assets`), what a setting means (`settings.py`).
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipelines.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Estafeta: how well one department hands work to another.",
)
vault_app = typer.Typer(no_args_is_help=True, help="The vault of identities.")
portal_app = typer.Typer(no_args_is_help=True, help="The stand-in portal.")
warehouse_app = typer.Typer(no_args_is_help=True, help="The ClickHouse warehouse.")
rules_app = typer.Typer(no_args_is_help=True, help="The comment rules: try, measure and grow them.")
app.add_typer(vault_app, name="vault")
app.add_typer(portal_app, name="portal")
app.add_typer(warehouse_app, name="warehouse")
app.add_typer(rules_app, name="rules")
export_app = typer.Typer(no_args_is_help=True, help="Tables for people, out of the warehouse.")
app.add_typer(export_app, name="export")
redact_app = typer.Typer(no_args_is_help=True, help="The redaction of comments: measure it.")
app.add_typer(redact_app, name="redact")
dashboards_app = typer.Typer(no_args_is_help=True, help="Dashboards as specs: check, look at and publish them.")
app.add_typer(dashboards_app, name="dashboards")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration file (default: estafeta.yaml).")]
MONTH = r"^20\d\d-(0[1-9]|1[0-2])$"


def main() -> None:
    """Entry point: runs the command and turns known failures into one sentence."""
    # Dagster calls single-run backfills and its own sensors beta, and says so once per use; our tests cover both.
    warnings.filterwarnings("ignore", message=".*(backfill_policy|initializer `SensorDefinition).*")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for name in ("urllib3", "clickhouse_connect"):
        # Their retries are told again, once and in a sentence, by the error that reaches us.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback, which could quote data
        print(f"estafeta: {_sentence(error)}", file=sys.stderr)
        sys.exit(1)


def _sentence(error: Exception) -> str:
    from assets.guard import wordless

    return str(error if isinstance(error, _known_errors()) else wordless(error))


def _known_errors() -> tuple[type[Exception], ...]:
    """Exceptions whose text is written for people."""
    from assets.changes import RenamedProcessError
    from assets.checks import AuditFailedError
    from assets.crm import ForgottenMonthError
    from assets.guard import UnforeseenError
    from assets.hidden import LedgerError
    from assets.rules.deletions import MassDeletionError
    from assets.rules.lexicon import LexiconError
    from assets.rules.policy import PolicyError
    from assets.rules.redaction import RedactionError
    from datalens_specs.entries import PublishError
    from datalens_specs.preview import PreviewError
    from datalens_specs.specs import SpecError
    from pipelines.evaluation import LabelledFileError
    from pipelines.export import ExportError
    from pipelines.lock import RunBusyError
    from pipelines.running import NothingToReadError, StorageError
    from pipelines.settings import ConfigError
    from sources.bitrix24 import PortalError
    from sources.contracts import ContractBrokenError
    from sources.csv_file import CsvFileError
    from sources.vault import VaultError
    from warehouse_sql.engine import WarehouseError

    return (
        UnforeseenError,
        AuditFailedError,
        ConfigError,
        ContractBrokenError,
        CsvFileError,
        ExportError,
        ForgottenMonthError,
        LabelledFileError,
        LedgerError,
        LexiconError,
        MassDeletionError,
        NothingToReadError,
        PolicyError,
        PortalError,
        PreviewError,
        PublishError,
        RedactionError,
        RenamedProcessError,
        RunBusyError,
        SpecError,
        StorageError,
        VaultError,
        WarehouseError,
    )


def _progress() -> None:
    """Lets the pipeline's own progress lines through to stderr; libraries stay quiet."""
    for name in ("assets", "pipelines", "sources", "warehouse_sql"):
        logging.getLogger(name).setLevel(logging.INFO)


def _settings(config: Path | None) -> Settings:
    from pipelines.settings import Settings

    return Settings.load(config)


def _month(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(MONTH, value):
        raise typer.BadParameter("write a month as 2026-01; the first one is 2020-01")
    return value


@app.command()
def run(
    config: ConfigOption = None,
    first: Annotated[str | None, typer.Option("--from", callback=_month, help="First month, 2026-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", callback=_month, help="Last month.")] = None,
    accept_deletions: Annotated[
        bool, typer.Option("--accept-deletions", help="Believe that many ratings were really deleted.")
    ] = False,
) -> None:
    """Read the portal, check, protect, load: the main job."""
    from rich.console import Console

    from pipelines.demo import show
    from pipelines.lock import RunBusyError
    from pipelines.notify import tell_failure
    from pipelines.running import execute

    if first and last and first > last:
        raise typer.BadParameter(f"--from {first} is later than --to {last}")
    settings = _settings(config)
    _progress()
    try:
        report = execute(settings, first=first, last=last, accept_deletions=accept_deletions)
    except RunBusyError:
        raise
    except Exception as error:
        tell_failure(settings, _sentence(error), type(error).__name__)
        raise
    show(Console(), report)


@app.command()
def demo() -> None:
    """Run the whole pipeline over a made-up company (in .estafeta/demo/)."""
    from rich.console import Console

    from pipelines.demo import run_demo

    _progress()
    run_demo(Console())


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Check rights, keys, field map, policy and warehouse; say how to mend what is wrong."""
    from rich.console import Console
    from rich.markup import escape

    from pipelines.doctor import examine

    found = examine(_settings(config))
    console = Console()
    marks = {"ok": "[green]ok  [/green]", "note": "[yellow]note[/yellow]", "fail": "[red]FAIL[/red]"}
    for state, what, sentence in found.lines:
        console.print(f"{marks[state]} [bold]{what}[/bold]: {escape(sentence)}", soft_wrap=True)
    if not found.healthy:
        raise typer.Exit(1)


@app.command()
def audit(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list of results and nothing else.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Made-up companies pooled with the demo's.")] = 2,
) -> None:
    """Attack what is published: can anybody tell who gave a hidden rating, or which?"""
    from rich.console import Console

    from pipelines.audit.suite import attack, show

    report = attack(_settings(config), seeds, lambda what: print(what, file=sys.stderr))
    for sentence in report.left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    if report.inside is not None:
        print(f"{report.inside:.1%} of hidden ratings of closed months are inside released cuts", file=sys.stderr)
    if as_json:
        typer.echo(json.dumps(report.listed()))
    else:
        show(Console(), report)
    if not report.passed:
        raise typer.Exit(1)


@app.command("init-key")
def init_key(config: ConfigOption = None) -> None:  # noqa: ARG001 - every command takes it
    """Make the vault's key file where ESTAFETA_KEY_FILE says."""
    from pipelines.settings import Secrets
    from sources.vault import KeyFileError, VaultKey

    path = Secrets().estafeta_key_file
    if path is None:
        raise KeyFileError("ESTAFETA_KEY_FILE is not set: name in it the file to make, outside backups of the vault.")
    VaultKey.create(path)
    typer.echo(f"Made {path}. Back it up apart from the vault: without it the vault cannot be read.")


@vault_app.command()
def forget(
    period: Annotated[str, typer.Option("--period", callback=_month, help="Month to destroy, 2026-01.")],
    config: ConfigOption = None,
) -> None:
    """Destroy a month: its key and its files. Published rows stay."""
    from assets.changes import forget as forget_month
    from assets.periods import period_of
    from pipelines.lock import run_lock

    settings = _settings(config)
    with run_lock(settings.state_path):
        today = datetime.now(settings.zone).date()
        files = forget_month(settings.vault(), settings.terms, period_of(period), today)
    typer.echo(
        f"Destroyed {period}: {files} files, the key among them. What was published stays published, and no run reads "
        "the month again."
    )


@portal_app.command("serve")
def portal_serve(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Another seed, another company.")] = 1,
    scale: Annotated[Literal["tiny", "demo", "load"], typer.Option(help="How big a company.")] = "demo",
    now: Annotated[str | None, typer.Option(help="The portal's clock, ISO 8601, not ahead of the host.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Write what the warehouse must hold here (JSON).")] = None,
    config_out: Annotated[
        Path | None, typer.Option("--config-out", help="Write here the fitting estafeta.yaml.")
    ] = None,
) -> None:
    """Serve the stand-in portal; prints one JSON line {webhook, admin, config} when ready."""
    import dataclasses

    import yaml

    from sources.stand_in.company import generate
    from sources.stand_in.server import serve_forever
    from sources.stand_in.truth import obligation_truth, rating_truth

    state = generate(seed, scale, _moment(now))
    if config_out:
        config_out.write_text(yaml.safe_dump(state.config, allow_unicode=True, sort_keys=False), encoding="utf-8")
    if truth:
        told = {
            "ratings": [dataclasses.asdict(row) for row in rating_truth(state)],
            "obligations": [dataclasses.asdict(row) for row in obligation_truth(state)],
        }
        truth.write_text(json.dumps(told, default=str, ensure_ascii=False), encoding="utf-8")
    serve_forever(state, port, config_path=config_out)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter("--now needs date, time and offset, as 2026-11-23T12:00:00+03:00")
    if moment > datetime.now(UTC):
        raise typer.BadParameter("--now is later than this host's clock")
    return moment


@warehouse_app.command()
def migrate(config: ConfigOption = None) -> None:
    """Create or update the tables."""
    from pipelines.lock import run_lock

    settings = _settings(config)
    with run_lock(settings.state_path), settings.warehouse().session("migrate") as db:
        finished, applied = db.prepare()
    for name in finished:
        typer.echo(f"finished the swap of {name}")
    typer.echo(f"applied {', '.join(applied)}" if applied else "nothing to do")


@warehouse_app.command("serve")
def warehouse_serve(
    config: ConfigOption = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8123,
) -> None:
    """Answer ClickHouse's HTTP protocol over the embedded warehouse: reads only, loopback only."""
    from pipelines.settings import ConfigError
    from warehouse_sql.serve import serve

    path = _settings(config).warehouse_path
    if path is None:
        raise ConfigError("The warehouse is a ClickHouse server: connect to it directly, there is nothing to serve.")
    serve(path, port=port, ready=lambda bound: typer.echo(f"ClickHouse HTTP at http://127.0.0.1:{bound}/ (read only)"))


@rules_app.command("check", context_settings={"ignore_unknown_options": True})
def rules_check(
    text: Annotated[str, typer.Argument(help="The comment.")],
    score: Annotated[int, typer.Option(min=1, max=5, help="The score it explains.")] = 4,
    task_title: Annotated[str, typer.Option("--task-title", help="Title of the linked task.")] = "",
    config: ConfigOption = None,  # noqa: ARG001 - every command takes it
) -> None:
    """Judge one comment: level, rules it breaks, reasons it names, what to do better."""
    from assets.rules.comments import THRESHOLD, judge

    verdict = judge(text, is_low=score < THRESHOLD, title=task_title)
    typer.echo(f"level:   {verdict.level}")
    typer.echo(f"codes:   {', '.join(verdict.codes) or '-'}")
    typer.echo(f"reasons: {', '.join(verdict.reasons) or '-'}")
    typer.echo(f"hint:    {verdict.hint or '-'}")


@rules_app.command("evaluate")
def rules_evaluate(
    file: Annotated[Path, typer.Argument(help="Tab-separated: label text score task_title reasons.")],
    config: ConfigOption = None,  # noqa: ARG001 - every command takes it
) -> None:
    """Measure the rules on labelled comments; prints one JSON object."""
    from pipelines.evaluation import comments_per_second, evaluate, read_labelled

    rows = read_labelled(file)
    typer.echo(json.dumps(evaluate(rows) | {"comments_per_second": comments_per_second(rows) if rows else None}))


@redact_app.command("evaluate")
def redact_evaluate(
    file: Annotated[Path, typer.Argument(help="Comments, one a line, identifiers marked {X|text}.")],
    employees: Annotated[
        Path, typer.Option("--employees", help="Tab-separated: id surname name patronymic sex login.")
    ],
    config: ConfigOption = None,  # noqa: ARG001 - every command takes it
) -> None:
    """Measure the redaction on marked comments; prints one JSON object."""
    from assets.rules import ner
    from assets.rules.redaction import Redactor
    from pipelines.redaction_evaluation import comments_per_second, evaluate, read_employees, read_marked

    rows = read_marked(file)
    net = ner.load()
    redactor = Redactor(read_employees(employees), ner=net)
    figures = evaluate(rows, redactor)
    figures |= {"comments_per_second": comments_per_second(rows, redactor), "ner": "on" if net else "off"}
    typer.echo(json.dumps(figures))


@export_app.command("scores")
def export_scores(
    period: Annotated[str, typer.Option("--period", callback=_month, help="Last month of the half-year, 2026-10.")],
    config: ConfigOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write here, readable for you alone (default: standard output).")
    ] = None,
    scope: Annotated[
        Literal["named", "hidden", "all"],
        typer.Option(help="named: with figures; hidden: bands of the last closed calendar half-year."),
    ] = "named",
) -> None:
    """Write the committee's CSV: recommendations, their figures, decisions.

    Russian Excel opens it with a double click: UTF-8 with a mark, semicolons, decimal commas. It holds names: keep it
    as you keep personal files. With the columns of the decision filled in it can be named as decisions.csv in the
    configuration.
    """
    from pipelines.export import committee_table, write_owner_only

    content, still_open = committee_table(_settings(config).warehouse(), period, scope)
    for window in still_open:
        print(
            f"note: the half-year {window} is not closed yet: its recommendations can still change",
            file=sys.stderr,
        )
    if out:
        write_owner_only(out, content)
        print(f"Wrote {out}.", file=sys.stderr)
    else:
        sys.stdout.buffer.write(content)


@dashboards_app.command("validate")
def dashboards_validate(
    config: ConfigOption = None,
    specs: Annotated[Path | None, typer.Option(help="Folder with specs (default: those of Estafeta).")] = None,
) -> None:
    """Check all specs against the warehouse's tables and DataLens's types; one line per mistake."""
    from pipelines.dashboards import checked_specs

    found = checked_specs(_settings(config), specs)
    typer.echo(
        f"{len(found.dashboards)} dashboards, {len(found.charts)} charts and {len(found.datasets)} datasets fit."
    )


@dashboards_app.command("plan")
def dashboards_plan(
    config: ConfigOption = None,
    destroy: Annotated[bool, typer.Option("--destroy", help="What apply --destroy would do.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Name the unchanged entries too.")] = False,
) -> None:
    """Say what apply would change in DataLens, and what was changed there by hand; changes nothing."""
    from pipelines.dashboards import planned

    for title, found in planned(_settings(config), destroy=destroy):
        typer.echo(title)
        for step in found.steps:
            if everything or step.action != "unchanged":
                typer.echo(f"  {step}")
        typer.echo(f"  {found.summary}")


@dashboards_app.command("apply")
def dashboards_apply(
    config: ConfigOption = None,
    destroy: Annotated[
        bool, typer.Option("--destroy", help="Delete what Estafeta has published, and nothing else.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over entries that were changed by hand, or have our names.")
    ] = False,
) -> None:
    """Make the workbooks in DataLens what the specs say; applied twice, the second time changes nothing."""
    from pipelines.dashboards import publish

    for name, address in publish(_settings(config), destroy=destroy, overwrite=overwrite, say=typer.echo).items():
        typer.echo(f"{name}: {address}")


@dashboards_app.command("export")
def dashboards_export(
    file: Annotated[Path, typer.Argument(help="Where to write the workbook file.")],
    config: ConfigOption = None,
    host: Annotated[str, typer.Option(help="Host of the warehouse, as DataLens reaches it.")] = "localhost",
    port: Annotated[int, typer.Option(help="Its HTTP port.")] = 8123,
    username: Annotated[str, typer.Option(help="The user that DataLens shares.")] = "default",
    secure: Annotated[bool, typer.Option("--secure", help="Connect with TLS.")] = False,
    for_hr: Annotated[
        bool, typer.Option("--hr", help="The dashboards of HR instead of all others: a workbook of their own.")
    ] = False,
) -> None:
    """Write the workbook file that DataLens imports by hand."""
    from pipelines.dashboards import workbook_file

    content = workbook_file(_settings(config), host, port, username, secure=secure, for_hr=for_hr)
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    typer.echo(f"Wrote {file}. After the import type the password into the connection.")
    typer.echo(
        "The file holds no row access: whoever opens the workbook sees all rows. Set the rules in its datasets "
        "before sharing it.",
        err=True,
    )


@dashboards_app.command("preview")
def dashboards_preview(
    config: ConfigOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the page into this folder instead of serving it.")] = None,
    with_hr: Annotated[bool, typer.Option("--hr", help="With the dashboards of HR, which show names.")] = False,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8124,
) -> None:
    """Look at the dashboards in a browser, without DataLens and without a network."""
    from pipelines.dashboards import serve_preview, write_preview

    settings = _settings(config)
    if out:
        typer.echo(f"Open {write_preview(settings, out, with_hr=with_hr)} in a browser.")
        return
    serve_preview(
        settings,
        port,
        with_hr=with_hr,
        ready=lambda bound: typer.echo(f"Dashboards at http://127.0.0.1:{bound}/ (Ctrl-C ends it)"),
    )


@rules_app.command("suggest")
def rules_suggest(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
) -> None:
    """List words of open comments that no list knows and several raters use: candidates for the lists."""
    from assets.rules.suggest import FEWEST_RATERS, suggest

    with _settings(config).warehouse().session("suggest") as db:
        comments, people = db.query(SUGGEST_FROM).to_pandas(), db.query(PEOPLE)
    names = people.column("full_name").to_pylist()
    found = suggest(comments, names).head(limit)
    if found.empty:
        typer.echo(f"No unknown word is used by {FEWEST_RATERS} raters or more.")
    for row in found.itertuples():
        typer.echo(f"{row.lemma:<24} raters {row.raters:>4}   comments {row.comments:>5}")


SUGGEST_FROM = """
    SELECT rater_key, comment FROM dwh.fct_rating
    WHERE comment != '' AND score < 5 AND (comment_level = 'weak' OR reason_code IN ('untagged', 'other'))
"""
PEOPLE = "SELECT DISTINCT full_name FROM dwh.dim_employee"


if __name__ == "__main__":
    main()
