"""Dashboards on the command line: specs checked, drawn as a page, written as a workbook, published.

Belongs here: bringing specs, warehouse and configuration together. Does not belong here: what a spec is
(`datalens_specs/specs.py`), how the page works (`datalens_specs/preview.py`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.dashboards import look, tables_of, words_of
from assets.terms import Workbook
from datalens_specs.preview import page
from datalens_specs.specs import Column, Specs, load
from datalens_specs.workbook import Place, workbook
from pipelines.settings import Settings
from warehouse_sql.warehouse import Warehouse

if TYPE_CHECKING:
    from datalens_specs.publish import Plan


def workbook_file(
    settings: Settings, host: str, port: int, username: str, *, secure: bool, for_hr: bool
) -> dict[str, Any]:
    """The workbook file for import by hand, of HR's dashboards or of all others; needs no warehouse.

    Raises:
        SpecError: the specs do not fit what the migrations make.
    """
    # On a server people read views, and DataLens with them (docs/access.md); an embedded warehouse has none.
    suffix = "" if settings.warehouse_path is not None else "_read"
    place = Place(host, port, username, secure, {name: f"{name}{suffix}" for name in ("mart", "hr")})
    tables = migrated_tables()
    return workbook(load(tables, words_of(settings.file.processes)).part(for_hr=for_hr), tables, place)


def migrated_tables() -> dict[str, list[Column]]:
    """Tables and columns as the migrations make them, in a warehouse that is thrown away."""
    with (
        tempfile.TemporaryDirectory(prefix="estafeta-") as empty,
        Warehouse(path=Path(empty) / "warehouse").session("specs") as db,
    ):
        db.migrate()
        return tables_of(db)


def checked_specs(settings: Settings, folder: Path | None = None) -> Specs:
    """The specs, checked against what the migrations make; needs no warehouse.

    Raises:
        SpecError: one line per mistake.
    """
    return load(migrated_tables(), words_of(settings.file.processes), *([folder] if folder else []))


def planned(settings: Settings, *, destroy: bool) -> list[tuple[str, Plan]]:
    """What apply would do, by workbook.

    Raises:
        ConfigError: DataLens is not configured, or credentials are missing.
        PublishError: DataLens cannot be reached or refuses.
        SpecError, CsvFileError: specs or users cannot be published.
    """
    client, publishing = settings.datalens_client(), settings.datalens
    assert publishing is not None, "a client is made of it"  # noqa: S101 - datalens_client() raises
    with client, settings.warehouse().session("dashboards") as db:
        found = look(db, client, publishing, settings.terms, destroy=destroy)
    return [(_title(one.workbook), one.plan) for one in found]


def publish(
    settings: Settings, *, destroy: bool, overwrite: bool, say: Callable[[str], None] = lambda _: None
) -> dict[str, str]:
    """Publishes, and returns the addresses of the dashboards by name.

    Args:
        settings: the configuration.
        destroy: whether all that is ours shall go.
        overwrite: whether what was changed by hand is written over.
        say: told of each workbook, of each entry that is done, and of the whole.

    Raises:
        ConfigError: DataLens is not configured, or credentials are missing.
        PublishError: entries were changed by hand, or it stopped half-way.
        SpecError, CsvFileError: specs or users cannot be published.
    """
    from datalens_specs.publish import apply, refuse_edited

    client, publishing = settings.datalens_client(), settings.datalens
    assert publishing is not None, "a client is made of it"  # noqa: S101 - datalens_client() raises
    addresses: dict[str, str] = {}
    with client, settings.warehouse().session("dashboards") as db:
        found = look(db, client, publishing, settings.terms, destroy=destroy)
        if not overwrite:
            # Of all workbooks before the first write to any.
            refuse_edited([step for one in found for step in one.plan.in_the_way])
        for one in found:
            say(_title(one.workbook))
            ids = apply(
                client,
                one.workbook.workbook_id,
                one.plan,
                one.ledger,
                password=one.workbook.password,
                overwrite=overwrite,
                say=lambda line: say(f"  {line}"),
            )
            say(f"  {one.plan.summary}")
            addresses |= {name: f"{publishing.site.rstrip('/')}/{entry_id}" for name, entry_id in ids.items()}
    return addresses


def _title(workbook: Workbook) -> str:
    return f"{'HR workbook' if workbook.for_hr else 'Workbook'} {workbook.workbook_id}"


def preview(settings: Settings, *, with_hr: bool) -> str:
    """The page over what the warehouse holds now.

    Raises:
        SpecError: the specs do not fit the warehouse.
        PreviewError: a dataset is too large for a page.
        WarehouseError: the warehouse is busy, missing or out of reach.
    """
    with settings.warehouse().session("preview") as db:
        specs = load(tables_of(db), words_of(settings.file.processes))

        def run(sql: str) -> Mapping[str, list[Any]]:
            found = db.query(sql)
            return {name: found.column(name).to_pylist() for name in found.column_names}

        return page(specs, run, with_hr=with_hr, read_on=date.today())  # noqa: DTZ011 - a day for people, here


def write_preview(settings: Settings, folder: Path, *, with_hr: bool) -> Path:
    """Writes the page as `index.html`, readable by its owner alone, and returns its path."""
    content = preview(settings, with_hr=with_hr)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "index.html"
    # Made anew each time: an older file may be open to others.
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(content)
    return file


def serve_preview(settings: Settings, port: int, *, with_hr: bool, ready: Callable[[int], None]) -> None:
    """Serves the page on loopback until interrupted, made anew from the warehouse for each request."""
    import socket

    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route

    from warehouse_sql.engine import WarehouseBusyError

    async def show(_: Request) -> Response:
        try:
            return HTMLResponse(await run_in_threadpool(preview, settings, with_hr=with_hr))
        except WarehouseBusyError as error:
            return PlainTextResponse(str(error), 503, {"Retry-After": "5"})

    app = Starlette(
        routes=[Route("/", show)],
        # Another site must not reach the page through a name of its own that points here.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])],
    )
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", port))
        ready(place.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[place])
