"""docs/warehouse.md holds what the migrations say, and its queries run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from warehouse_sql.dictionary import dictionary, with_dictionary
from warehouse_sql.warehouse import Session, Warehouse

PAGE = (Path(__file__).parents[2] / "docs" / "warehouse.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"\*\*([^*\n]+)\*\*[^\n]*\n\n```sql\n(.*?)\n```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Warehouse(path=tmp_path_factory.mktemp("dictionary") / "warehouse").session("test") as db:
        db.migrate()
        yield db


def test_the_dictionary_is_that_of_the_migrations(migrated: Session) -> None:
    assert with_dictionary(PAGE, dictionary(migrated)) == PAGE, "run python -m warehouse_sql.dictionary"


def test_a_page_without_marks_is_not_written_over() -> None:
    with pytest.raises(ValueError, match="no marks"):
        with_dictionary("# Tables\n", "text")


def test_there_are_a_dozen_queries() -> None:
    assert len(QUERIES) >= 12


@pytest.mark.parametrize(("question", "sql"), QUERIES, ids=[question for question, _ in QUERIES])
def test_a_query_of_the_page_runs(migrated: Session, question: str, sql: str) -> None:
    assert migrated.query(sql).column_names
