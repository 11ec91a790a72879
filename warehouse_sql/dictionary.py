"""The data dictionary: every table and column with its comment, as Markdown for docs/warehouse.md.

Belongs here: turning what ClickHouse knows of its tables into a page, and putting it between its marks. Does not belong
here: the comments themselves, which stand in the migrations.

`python -m warehouse_sql.dictionary` writes the page anew; a test fails while it is older than the migrations.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from warehouse_sql.warehouse import Session, Warehouse

PAGE = Path("docs/warehouse.md")
FIRST, LAST = "<!-- the data dictionary: written by python -m warehouse_sql.dictionary -->", "<!-- end -->"
DATABASES = {
    "mart": "what dashboards read",
    "hr": "named ratings and scores, for HR alone",
    "dwh": "the star schema",
    "ops": "runs, releases, swaps",
}

TABLES = """
    SELECT database, name, comment, engine FROM system.tables
    WHERE database IN {databases:Array(String)} ORDER BY database, name
"""
COLUMNS = """
    SELECT database, table, name, type, comment FROM system.columns
    WHERE database IN {databases:Array(String)} ORDER BY database, table, position
"""


def dictionary(db: Session) -> str:
    """All tables of people's databases, in the order of `DATABASES`, columns in their own order."""
    asked = {"databases": list(DATABASES)}
    columns: dict[tuple[str, str], list[dict[str, str]]] = {}
    for column in db.rows(COLUMNS, asked):
        columns.setdefault((column["database"], column["table"]), []).append(column)
    tables = db.rows(TABLES, asked)
    parts = []
    for database, title in DATABASES.items():
        parts.append(f"### `{database}`: {title}")
        for table in tables:
            if table["database"] != database:
                continue
            kind = " (view)" if table["engine"] == "View" else ""
            lines = [
                f"| `{column['name']}` | `{column['type']}` | {_cell(column['comment'])} |"
                for column in columns[(database, table["name"])]
            ]
            parts.append(f"#### `{database}.{table['name']}`{kind}\n\n{table['comment']}.")
            parts.append("\n".join(["| column | type | |", "|---|---|---|", *lines]))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_dictionary(page: str, text: str) -> str:
    """The page with this dictionary between its marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, first, rest = page.partition(FIRST)
    _, last, after = rest.partition(LAST)
    if not first or not last:
        raise ValueError(f"the page has no marks {FIRST} and {LAST}")
    return f"{before}{FIRST}\n\n{text}\n\n{LAST}{after}"


def main() -> int:
    """Writes the page anew from the migrations."""
    with (
        tempfile.TemporaryDirectory(prefix="estafeta-") as empty,
        Warehouse(path=Path(empty) / "warehouse").session("dictionary") as db,
    ):
        db.migrate()
        text = dictionary(db)
    PAGE.write_text(with_dictionary(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
