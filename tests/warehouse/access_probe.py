"""Opens a warehouse folder as one user of a ClickHouse configuration, runs statements and prints what came of them.

The embedded engine opens a folder once per process and always as the user `default`, but it reads users, roles,
grants and profiles from a configuration file. So each role is tried in a process of its own, as `default`.

Arguments: folder, configuration, and `pipeline` to act as the pipeline first. Statements: a JSON list on stdin.
Output: a JSON list of {"rows": [...]} or {"error": "ACCESS_DENIED"}, the name of ClickHouse's error.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from typing import Any

import chdb


def run_as_pipeline(place: str) -> None:
    """What runs say to the warehouse: migrations, copies, transforms, the swap."""
    # Readers need none of it, and it takes as long to import as they take to ask.
    from clickhouse_connect import get_client

    from warehouse_sql.warehouse import PUBLISHED, Session, transform

    client = get_client(interface="chdb", path=place)
    session = Session(client, "probe")
    session.prepare()
    # So that there is a partition to attach to the copy, and a copy of every kind to swap.
    session.command("INSERT INTO hr.fct_rating (period) SELECT toDate('2026-10-01')")
    for target in PUBLISHED:
        session.stage(target)
    for target in PUBLISHED:
        if target.rebuilt == "whole" and target.name != "dim_date" and transform(target).is_file():
            session.fill(target, {"today": date(2026, 11, 20)} if target.name == "coverage" else None)
    session.command("INSERT INTO stg.ops_release (cut) SELECT 'rating_block'")
    session.swap("probe")
    session.finish_swap()
    client.close()


def answer(connection: Any, statement: str) -> dict[str, Any]:
    try:
        output = connection.query(statement, "JSONCompact").bytes()
    except (RuntimeError, chdb.ChdbError) as error:
        return {"error": (re.findall(r"\(([A-Z][A-Z_]+)\)", str(error)) or [str(error)])[-1]}
    return {"rows": json.loads(output)["data"] if output else []}


def main(folder: str, configuration: str, *task: str) -> None:
    place = f"{folder}?config-file={configuration}"
    if task == ("pipeline",):
        run_as_pipeline(place)
    connection = chdb.connect(place)  # type: ignore[no-untyped-call]
    print(json.dumps([answer(connection, statement) for statement in json.load(sys.stdin)]))
    connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
