"""Destroying a month changes nothing in the months that stay, and nothing brings it back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.changes import add_pending, coverage, forget, forgotten, note_read, pending, shadowed
from assets.rules.disclosure import PROFILES
from assets.rules.organisation import Organisation
from assets.rules.policy import PolicyBook
from assets.rules.structure import check
from assets.terms import Terms
from sources.contracts import RATING_COLUMNS, Process
from sources.vault import Vault, VaultError, VaultKey

JANUARY, MARCH = date(2026, 1, 1), date(2026, 3, 1)
TODAY = date(2026, 11, 20)
PROCESS = Process.model_validate(
    {
        "key": "task",
        "title": "Задачи",
        "entity_type_id": 1036,
        "cadence": "task",
        "fields": {"score": "a", "comment": "b", "rater": "c", "ratee": "d", "task": "e"},
    }
)
TERMS = Terms((PROCESS,), PolicyBook(()), "default", PROFILES["default"], 8)
COMPANY = Organisation.build({20: 2, 30: 3}, {1: 0, 2: 1, 3: 1})


def rating(number: int, period: date, **values: Any) -> dict[str, Any]:
    moment = datetime(period.year, period.month, 15, 9, tzinfo=UTC)
    return {
        "process_key": "task",
        "rating_id": number,
        "period": period,
        "created_at": moment,
        "updated_at": moment,
        "rated_on": moment.date(),
        "is_period_invalid": False,
        "stage_id": "SUCCESS",
        "is_failure_stage": False,
        "score": 5,
        "score_problem": "",
        "comment": "",
        "reason": "",
        "rater_id": 30,
        "ratee_id": 20,
        "task_id": 500,
        "task_setter_id": 20,
        "task_executor_id": 30,
        "task_title": "Макет листовки",
        "is_deleted": False,
    } | values


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """January holds a rating of task 500; March holds a second one of it and one of another task."""
    vault = Vault(tmp_path / "vault", VaultKey(bytes(range(32))))
    january = [rating(1, JANUARY)]
    march = [rating(2, MARCH), rating(3, MARCH, task_id=501)]
    vault.write("raw", "2026-01", pa.Table.from_pylist(january, RATING_COLUMNS))
    vault.write("raw", "2026-03", pa.Table.from_pylist(march, RATING_COLUMNS))
    note_read(vault, TERMS, [JANUARY, MARCH], TODAY)
    return vault


def codes(vault: Vault) -> dict[int, str]:
    tables = [vault.read("raw", key).replace_schema_metadata(None) for key in vault.periods("raw")]
    verdicts = check(pa.concat_tables(tables).to_pandas(), TERMS.by_process(), COMPANY, 8, shadowed(vault))
    return dict(zip(verdicts["rating_id"], verdicts["exclusion_code"], strict=True))


def test_a_duplicate_of_a_destroyed_rating_stays_a_duplicate(vault: Vault) -> None:
    assert codes(vault) == {1: "", 2: "duplicate_rating", 3: ""}
    forget(vault, TERMS, JANUARY, TODAY)
    assert codes(vault) == {2: "duplicate_rating", 3: ""}


def test_a_destroyed_month_is_neither_read_nor_waited_for_again(vault: Vault) -> None:
    add_pending(vault, [JANUARY, MARCH])
    forget(vault, TERMS, JANUARY, TODAY)
    assert forgotten(vault) == {JANUARY}
    assert pending(vault) == {MARCH}
    assert coverage(vault) == {("task", MARCH): TODAY}
    add_pending(vault, [JANUARY])
    assert pending(vault) == {MARCH}


def test_a_month_that_was_never_held_is_not_noted_as_destroyed(vault: Vault) -> None:
    with pytest.raises(VaultError, match="2025-05"):
        forget(vault, TERMS, date(2025, 5, 1), TODAY)
    assert forgotten(vault) == set()


def test_destroying_that_was_cut_short_is_finished_by_the_next(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(self: Vault, period: str) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "forget", cut)
        with pytest.raises(KeyboardInterrupt):
            forget(vault, TERMS, JANUARY, TODAY)
    forget(vault, TERMS, JANUARY, TODAY)
    assert vault.held() == ["2026-03"]
    assert codes(vault) == {2: "duplicate_rating", 3: ""}


def test_months_before_the_first_partition_are_not_read(vault: Vault) -> None:
    add_pending(vault, [date(2019, 12, 1), date(2020, 1, 1)])
    assert pending(vault) == {date(2020, 1, 1)}
