"""The dashboards over a run's tables: the page draws every chart, and its figures are those of the warehouse."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, sync_playwright

from assets.dashboards import tables_of, words_of
from datalens_specs.query import chart_sql
from datalens_specs.specs import Specs, load
from pipelines.dashboards import write_preview
from tests.e2e.conftest import Site
from warehouse_sql.warehouse import Session

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium: install it (apt install chromium)")

PAIRS = """
    SELECT process_key, rater_department_id, ratee_department_id,
        min(period_from) AS first, max(period_from) AS last
    FROM mart.department_pair WHERE scope = 'open' AND mean_score IS NOT NULL
    GROUP BY ALL HAVING first = '2026-10-01' AND last = '2026-11-01' ORDER BY ALL LIMIT 1
"""
KPI = """
    SELECT sum(share_of_fives * ratings) / sum(ratings) AS share, sum(ratings) AS n FROM mart.department_pair
    WHERE scope = 'open' AND period_from BETWEEN {first:Date} AND {last:Date}
        AND ({process:String} = '' OR process_key = {process:String})
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; while it is open, its loop keeps runs from starting theirs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page that remembers what it complained of and asked for."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page, self.file = page, file
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(file.as_uri())
        self.wait()

    def wait(self) -> None:
        self.page.wait_for_selector("body[data-ready=yes]", timeout=60_000)

    def open(self, dashboard: str, tab: str) -> None:
        self.page.evaluate("address => { location.hash = address; }", f"d={dashboard}&t={tab}")
        self.page.wait_for_function("name => document.title.startsWith(name) || true", arg=dashboard)
        self.wait()

    def months(self) -> list[str]:
        picked: list[str] = self.page.eval_on_selector_all(".range select", "all => all.map(one => one.value)")
        return picked

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = self.page.evaluate("() => window.estafeta.rows()")
        return found


@needs_browser
def test_every_chart_is_drawn_with_the_figures_of_the_warehouse(tiny_site: Site) -> None:
    agree(tiny_site)
    tiny_site.run()
    with chromium() as browser, tiny_site.settings.warehouse().session("test") as db:
        specs = load(tables_of(db), words_of(tiny_site.settings.file.processes))
        check_agreements(db)
        file = write_preview(tiny_site.settings, tiny_site.folder / "dashboards", with_hr=True)
        assert file.stat().st_mode & 0o077 == 0
        watched = Watched(browser.new_page(), file)
        compared = 0
        for dashboard in specs.dashboards.values():
            for tab in dashboard.tabs:
                watched.open(dashboard.key, tab.key)
                shown = watched.rows()
                assert set(shown) == {item.chart for item in tab.items if item.chart}
                for key, rows in shown.items():
                    compare(specs, db, key, rows, watched.months())
                    compared += bool(rows)
                    tile = watched.page.locator(f"[data-chart={key}]")
                    assert tile.locator("svg.marks, table, .value, .empty").count(), f"{key} is a blank"
        assert compared > 20
        check_choice(watched, db)
        assert not watched.said
        assert watched.asked == [file.as_uri()], "the page asked for something"
        narrow = Watched(browser.new_page(viewport={"width": 390, "height": 800}), file)
        assert narrow.page.evaluate("document.documentElement.scrollWidth") == 390, "a phone has to scroll sideways"
        watched.page.close()
        narrow.page.close()


def agree(site: Site) -> None:
    """One agreement on the pair with the longest history, in a file of the heads."""
    (pair,) = site.rows(PAIRS).to_dict("records")
    names = {row["key"]: row["title"] for row in site.config["processes"]}
    of_pair = f"{names[pair['process_key']]};{pair['rater_department_id']};{pair['ratee_department_id']}"
    lines = (
        "Дата;Процесс;Исполнитель;Постановщик;Договорённость;Сделано",
        f"10.10.2026;{of_pair};Бриф по шаблону;",
        f"01.11.2026;{of_pair};Сроки до обеда;да",
        "10.10.2026;нет такого процесса;1;2;Потеряется;",
    )
    (site.folder / "agreements.csv").write_text("\n".join(lines), encoding="cp1251")
    site.config["agreements"] = {"csv": "agreements.csv"}
    site.file.write_text(yaml.safe_dump(site.config, allow_unicode=True), encoding="utf-8")


def check_agreements(db: Session) -> None:
    """Was and became are the published rows around the agreement."""
    early, late = db.rows("SELECT * FROM mart.agreement ORDER BY agreed_on")
    pair = {name: early[name] for name in ("process_key", "rater_department_id", "ratee_department_id")}
    october, november = db.rows(
        "SELECT period_from, mean_score, share_of_fives, ratings FROM mart.department_pair "
        "WHERE scope = 'open' AND process_key = {process_key:String} AND rater_department_id = "
        "{rater_department_id:UInt32} AND ratee_department_id = {ratee_department_id:UInt32} ORDER BY period_from",
        pair,
    )
    nothing = dict.fromkeys(("period", "mean", "share_of_fives", "ratings"))
    for agreement, was, became in ((early, nothing, november), (late, october, nothing)):
        for when, row in (("was", was), ("became", became)):
            told = [agreement[f"{when}_{name}"] for name in nothing]
            assert told == list(row.values()), f"{agreement['agreed_on']} {when}"
    assert (early["text"], late["is_done"], early["scope"]) == ("Бриф по шаблону", True, "open")


def compare(specs: Specs, db: Session, key: str, rows: list[dict[str, Any]], months: list[str]) -> None:
    """The rows a chart shows are those its query gives."""
    chart = specs.charts[key]
    dataset = specs.datasets[chart.dataset]
    selected = {}
    for dashboard in specs.dashboards.values():
        for tab in dashboard.tabs:
            for selector in tab.selectors:
                if selector.kind == "months" and chart.dataset in selector.fields and placed(tab.items, key) and months:
                    selected[selector.fields[chart.dataset]] = between(*months)
    sql, parameters = chart_sql(chart, dataset, selected)
    asked = [row for row in db.rows(sql, parameters) if chart.kind != "indicator" or rows]
    assert len(rows) == len(asked), key
    if len(rows) == chart.limit:
        # Rows of equal rank may be cut off in another order.
        return
    assert sorted(map(comparable, rows)) == sorted(map(comparable, asked)), key


def placed(items: Any, key: str) -> bool:
    return any(item.chart == key for item in items)


def between(first: str, last: str) -> list[str]:
    year, month = map(int, first.split("-")[:2])
    found = []
    while (day := f"{year}-{month:02d}-01") <= last:
        found.append(day)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def comparable(row: dict[str, Any]) -> str:
    """A row as text, in whatever order its columns come; figures to 9 digits."""
    cells = {}
    for key, value in row.items():
        if isinstance(value, bool) or value is None or isinstance(value, str):
            cells[key] = str(value)
        elif isinstance(value, date):
            cells[key] = value.isoformat()
        else:
            cells[key] = "None" if math.isnan(value) else f"{float(value):.9g}"
    return str(sorted(cells.items()))


def check_choice(watched: Watched, db: Session) -> None:
    """Choosing a process changes the figures to those of the process; resetting brings the others back."""
    watched.open("pairs", "open")
    first, last = watched.months()
    page = watched.page
    value = page.locator("[data-chart=pair_share] .value")
    support = page.locator("[data-chart=pair_share] .support")

    def shown() -> tuple[str, str]:
        return value.inner_text().replace("\xa0", " "), support.inner_text().replace("\xa0", " ")

    def expected(process: str) -> tuple[str, str]:
        (row,) = db.rows(KPI, {"first": first, "last": last, "process": process})
        return f"{math.floor(row['share'] * 100 + 0.5)} %", f"n = {row['n']}"

    assert shown() == expected("")
    before = shown()
    page.locator("[data-selector=process] summary").press("Enter")
    box = page.locator("[data-selector=process] input[type=checkbox]").first
    process = box.get_attribute("value") or ""
    box.press("Space")
    watched.wait()
    assert shown() == expected(process)
    assert shown() != before
    page.locator(".reset").press("Enter")
    watched.wait()
    assert shown() == before


def test_without_a_word_of_hr_the_page_reads_marts_alone(tiny_site: Site) -> None:
    page = write_preview(tiny_site.settings, tiny_site.folder / "dashboards", with_hr=False).read_text(encoding="utf-8")
    assert '"key":"pairs"' in page
    assert '"key":"bonuses"' not in page
    assert "Недостаточно данных:" not in page, "an explanation of hr.fct_score is in the page"
