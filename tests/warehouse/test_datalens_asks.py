"""What DataLens asks of ClickHouse, as its back-end words it, over the served warehouse with the real tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from warehouse_sql.serve import ServerThread, create_app
from warehouse_sql.warehouse import Warehouse

URL_SETTINGS = {
    "database": "mart",
    "join_use_nulls": "1",
    "send_progress_in_http_headers": "0",
    "output_format_json_quote_denormals": "1",
    "readonly": "2",
}
PAIRS = """
    INSERT INTO mart.department_pair (scope, process_key, period_from, period_to, rater_department, ratee_department,
        mean_score, ratings, share_of_fives)
    SELECT 'open', 'site', addMonths(toDate('2026-01-01'), number) AS month, month, 'Сайт', 'Маркетинг', 4.5, number,
        0.5
    FROM numbers(3)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("datalens") / "warehouse"
    with Warehouse(path=folder).session("test") as db:
        db.migrate()
        db.command(PAIRS)
    with ServerThread(create_app(folder)) as running:
        yield f"http://127.0.0.1:{running.port}/"


def ask(address: str, sql: str, **more: str) -> httpx.Response:
    return httpx.post(address, params=URL_SETTINGS | more, content=sql.encode(), timeout=30)


def rows(address: str, sql: str) -> Any:
    answer = ask(address, f"{sql}\nFORMAT JSONCompact")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def test_the_first_questions_of_a_connection_are_answered(address: str) -> None:
    assert rows(address, "select 1") == [[1]]
    assert rows(address, "SELECT version()")[0][0].count(".") >= 2
    assert rows(address, "select timezone()")[0][0]


def test_the_format_may_come_as_a_setting(address: str) -> None:
    answer = ask(address, "select 1 as one", default_format="JSONCompact")
    assert answer.json()["meta"] == [{"name": "one", "type": "UInt8"}]


def test_columns_of_tables_and_views_come_with_their_comments(address: str) -> None:
    for table in ("department_pair", "own_rating", "agreement"):
        described = rows(address, f'DESCRIBE TABLE "mart"."{table}"')
        assert described
        assert all(column[4] for column in described), f"a column of {table} has no comment"


def test_tables_are_listed(address: str) -> None:
    listed = rows(
        address,
        "SELECT name FROM system.tables WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') "
        "AND database = 'mart' ORDER BY name ASC",
    )
    assert ["department_pair"] in listed
    assert ["own_rating"] in listed


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT toStartOfInterval(toDate(t1.period_from), interval 1 quarter) AS res_0, sum(t1.ratings) AS res_1 "
            "FROM mart.department_pair AS t1 WHERE t1.scope IN ('open') GROUP BY res_0 "
            "ORDER BY res_0 ASC NULLS FIRST LIMIT 1000001",
            [["2026-01-01", 3]],
        ),
        (
            "SELECT DISTINCT t1.ratee_department AS res_0 FROM mart.department_pair AS t1 "
            "ORDER BY res_0 ASC LIMIT 1000",
            [["Маркетинг"]],
        ),
        (
            "SELECT sum(t1.share_of_fives * t1.ratings) / sum(t1.ratings) AS res_0, "
            "uniqExact(t1.process_key) AS res_1, countIf(ifNull(t1.ratings > 1, 0)) AS res_2 "
            "FROM mart.department_pair AS t1 "
            "WHERE t1.period_from BETWEEN toDate32('2026-02-01') AND toDate32('2026-12-31') LIMIT 1000001",
            [[0.5, 1, 1]],
        ),
        (
            "SELECT CASE WHEN t1.process_key = 'site' THEN 'Сайт' ELSE t1.process_key END AS res_0, "
            "toDateTime(toStartOfInterval(toDateTime('2026-11-24 10:00:00'), interval 1 week)) AS res_1 "
            "FROM mart.department_pair AS t1 LIMIT 1",
            [["Сайт", "2026-11-23 00:00:00"]],
        ),
    ],
)
def test_queries_of_charts_are_answered(address: str, sql: str, expected: list[list[Any]]) -> None:
    assert rows(address, sql) == expected


def test_a_month_without_one_before_it_has_no_figure_instead_of_0(address: str) -> None:
    ago = (
        "SELECT t1.period_from, t2.ratings FROM mart.department_pair AS t1 LEFT JOIN mart.department_pair AS t2 "
        "ON t1.period_from = addMonths(t2.period_from, 1) AND isNull(t1.period_from) = isNull(t2.period_from) "
        "ORDER BY t1.period_from DESC NULLS LAST LIMIT 1000001"
    )
    assert rows(address, ago) == [["2026-03-01", 1], ["2026-02-01", 0], ["2026-01-01", None]]


def test_views_with_joins_answer_under_join_use_nulls(address: str) -> None:
    for view in ("mart.own_rating", "mart.correction", "hr.recommendation", "hr.signal_queue"):
        assert rows(address, f"SELECT * FROM {view} LIMIT 1000001") == []


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT nothing FROM mart.department_pair", "47"),
        ("SELECT 1 FROM mart.nothing", "60"),
        ("SELECT FROM WHERE", "62"),
        ("SELECT 1 FROM nowhere.nothing", "81"),
    ],
)
def test_errors_begin_as_datalens_reads_them(address: str, sql: str, code: str) -> None:
    answer = ask(address, sql)
    assert answer.status_code >= 400
    assert answer.text.startswith(f"Code: {code}.")


def test_nothing_can_be_written(address: str) -> None:
    assert ask(address, "INSERT INTO mart.user_access VALUES (1, 1)").status_code >= 400
    assert rows(address, "SELECT count() FROM mart.user_access") == [[0]]
