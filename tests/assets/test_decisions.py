"""Decisions and reviews lie in the vault as their sources hold them now, whatever lay there before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from assets.decisions import decision
from assets.rules.disclosure import PROFILES
from assets.rules.policy import PolicyBook
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.contracts import DecisionProcess
from sources.csv_file import CsvFileError
from sources.decisions import DECISION_COLUMNS
from sources.vault import CURRENT, Vault, VaultKey

TERMS = Terms((), PolicyBook(()), "default", PROFILES["default"], 8)
PROCESS = DecisionProcess.model_validate(
    {"entity_type_id": 1080, "fields": {"ratee": "a", "period": "b", "decision": "c", "reason": "d"}}
)


class Portal(Bitrix24):
    """A portal that knows decisions by their numbers, and notes which it was asked for."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.known: list[int] = []

    def decisions(self, process: DecisionProcess, known: Collection[int]) -> pa.Table:
        self.known = list(known)
        row = {"ratee_id": 12, "period": None, "decision": "", "decided_by": 0, "decided_on": None, "reason": ""}
        return pa.Table.from_pylist([row | {"number": number} for number in self.numbers], DECISION_COLUMNS)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault", VaultKey(bytes(range(32))))


def read(vault: Vault, dataset: str) -> list[int]:
    return list(vault.read(dataset, CURRENT)["number"].to_pylist())


def test_without_sources_there_are_no_decisions_and_no_reviews(vault: Vault) -> None:
    decision(portal=Portal(1), vault=vault, terms=TERMS)
    assert (read(vault, "decision"), read(vault, "review")) == ([], [])


def test_files_are_read_whole_each_time(vault: Vault, tmp_path: Path) -> None:
    decisions, reviews = tmp_path / "decisions.csv", tmp_path / "reviews.csv"
    decisions.write_text("ratee_id,period,decision,reason\n12,2026-10,да,повод\n12,2026-10,принято,повод\n")
    reviews.write_text("signal_type,rater_id,ratee_id,window_to,status\nsinking,1,2,2026-10,reviewed\n")
    terms = replace(TERMS, decisions_csv=decisions, reviews_csv=reviews, decision_values={"да": "accepted"})
    decision(portal=Portal(), vault=vault, terms=terms)
    assert vault.read("decision", CURRENT)["decision"].to_pylist() == ["accepted", "accepted"]
    assert (read(vault, "decision"), read(vault, "review")) == ([2, 3], [2])
    decisions.write_text("ratee_id,period,decision,reason\n12,2026-10,принято,повод\n")
    decision(portal=Portal(), vault=vault, terms=terms)
    assert read(vault, "decision") == [2]


def test_a_file_that_is_gone_stops_the_run_and_leaves_what_was_read(vault: Vault, tmp_path: Path) -> None:
    terms = replace(TERMS, decision_process=PROCESS)
    decision(portal=Portal(7), vault=vault, terms=terms)
    with pytest.raises(CsvFileError, match="does not exist"):
        decision(portal=Portal(), vault=vault, terms=replace(TERMS, reviews_csv=tmp_path / "absent.csv"))
    assert read(vault, "decision") == [7]


def test_the_portal_is_asked_for_the_decisions_it_showed_before(vault: Vault) -> None:
    terms = replace(TERMS, decision_process=PROCESS)
    decision(portal=Portal(7, 8), vault=vault, terms=terms)
    again = Portal(8)
    decision(portal=again, vault=vault, terms=terms)
    assert again.known == [7, 8]
    assert read(vault, "decision") == [8]
