"""What the doctor writes down.

Belongs here: the list of findings, and what becomes of a check that fails. Does not belong here: the checks
(`doctor.py` and `doctor_*.py`), how findings are printed (`cli.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from assets.guard import wordless
from datalens_specs.entries import PublishError
from pipelines.settings import ConfigError
from sources.bitrix24 import PortalError
from sources.contracts import ContractBrokenError
from sources.csv_file import CsvFileError
from sources.vault import VaultError
from warehouse_sql.engine import WarehouseError

State = Literal["ok", "note", "fail"]


@dataclass
class Findings:
    """What the doctor found, in the order it looked: (state, what, sentence).

    `fail` is what stops a run or makes it publish something wrong; `note` is what somebody should know or may mend.
    """

    lines: list[tuple[State, str, str]] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether a run can work."""
        return all(state != "fail" for state, _, _ in self.lines)

    def ok(self, what: str, sentence: str) -> None:
        """Notes that something is as it should be."""
        self.lines.append(("ok", what, sentence))

    def note(self, what: str, sentence: str) -> None:
        """Notes what somebody should know or may mend."""
        self.lines.append(("note", what, sentence))

    def fail(self, what: str, sentence: str) -> None:
        """Notes what has to be mended."""
        self.lines.append(("fail", what, sentence))

    @contextmanager
    def examine(self, what: str) -> Iterator[None]:
        """Runs one check; what it raises becomes a finding and the next check goes on."""
        try:
            yield
        except (
            ConfigError,
            ContractBrokenError,
            CsvFileError,
            PortalError,
            PublishError,
            VaultError,
            WarehouseError,
        ) as error:
            self.fail(what, str(error))
        except Exception as error:  # noqa: BLE001 - one check must not hide the others; the text could quote data
            self.fail(what, str(wordless(error)))
