"""The command line. Exit status: 0 done, 1 failed with one clear sentence on stderr, 2 wrong usage.

Belongs here: commands, what they print, the lock that keeps runs apart. Does not belong here: what a run does
(`assets`), what a setting means (`settings.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from pipelines.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
vault_app = typer.Typer(no_args_is_help=True, help="The vault of identities.")
portal_app = typer.Typer(no_args_is_help=True, help="The stand-in portal.")
warehouse_app = typer.Typer(no_args_is_help=True, help="The ClickHouse warehouse.")
app.add_typer(vault_app, name="vault")
app.add_typer(portal_app, name="portal")
app.add_typer(warehouse_app, name="warehouse")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration file (default: estafeta.yaml).")]
MONTH = r"^20\d\d-(0[1-9]|1[0-2])$"

logger = logging.getLogger(__name__)


class RunBusyError(Exception):
    """Another run of the same portal is at work."""


class UsageError(Exception):
    """A value that no configuration could make right."""


def main() -> None:
    """Entry point: runs the command and turns known failures into one sentence."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback, which could quote data
        sys.exit(_report(error))


def _report(error: Exception) -> int:
    """Prints one sentence and picks the exit status."""
    import click

    if isinstance(error, click.exceptions.ClickException):
        error.show(sys.stderr)
        return 2
    if isinstance(error, click.exceptions.Abort):
        return 1
    if isinstance(error, UsageError):
        print(f"estafeta: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if isinstance(error, _known_errors()):
        print(f"estafeta: {error}", file=sys.stderr)  # noqa: T201
    else:
        print(  # noqa: T201
            f"estafeta: an unforeseen {type(error).__name__} stopped the command; published tables are as they were. "
            "Run it again with ESTAFETA_DEBUG=1 to see where (the output may then hold personal data).",
            file=sys.stderr,
        )
        if os.environ.get("ESTAFETA_DEBUG"):
            raise error
    return 1


def _known_errors() -> tuple[type[Exception], ...]:
    """Exceptions whose text is written for people."""
    from assets.rules.deletions import MassDeletionError
    from assets.rules.policy import PolicyError
    from pipelines.running import AuditFailedError
    from pipelines.settings import ConfigError
    from sources.bitrix24 import PortalError
    from sources.contracts import ContractBrokenError
    from sources.vault import VaultError
    from warehouse_sql.engine import WarehouseError

    return (
        AuditFailedError,
        ConfigError,
        ContractBrokenError,
        MassDeletionError,
        PolicyError,
        PortalError,
        RunBusyError,
        VaultError,
        WarehouseError,
    )
