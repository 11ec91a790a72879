"""Nothing of a hidden rating leaves the vault: not in a table, log, temporary file or clear byte."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from assets.rules.organisation import Organisation
from assets.rules.policy import PolicyBook, PolicyEntry
from sources.stand_in.company import generate
from sources.stand_in.truth import TruthRow, rating_truth
from tests.e2e.conftest import NOW, Site

OPEN_OR_HR = {"open", "named_to_hr"}


def modes(site: Site) -> dict[tuple[str, int], str]:
    """Mode of every rating, decided from the truth's departments."""
    rows = rating_truth(site.state)
    frame = pd.DataFrame(
        {
            "process_key": [row.process_key for row in rows],
            "rater_department_id": [row.rater_department_id for row in rows],
            "ratee_department_id": [row.ratee_department_id for row in rows],
            "rated_on": [row.rated_on for row in rows],
        }
    )
    parents = {int(row["ID"]): int(row.get("PARENT") or 0) for row in site.state.departments.values()}
    book = PolicyBook.build([PolicyEntry.model_validate(entry) for entry in site.config["policies"]])
    mode, _ = book.resolve(frame, Organisation.build({}, parents), NOW.date())
    return {(row.process_key, row.rating_id): value for row, value in zip(rows, mode, strict=True)}


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                yield path


class Search:
    """Looks for thousands of needles at once, by their first eight bytes; one regular expression takes minutes."""

    def __init__(self, needles: set[bytes]) -> None:
        assert min(len(needle) for needle in needles) >= 8
        self._by_start: dict[int, list[bytes]] = {}
        for needle in needles:
            self._by_start.setdefault(int.from_bytes(needle[:8], "little"), []).append(needle)
        self._starts = np.array(sorted(self._by_start), dtype="<u8")

    def first(self, content: bytes) -> bytes | None:
        for offset in range(8):
            windows = np.frombuffer(content[offset : len(content) - (len(content) - offset) % 8], dtype="<u8")
            near = self._starts[np.searchsorted(self._starts, windows).clip(max=len(self._starts) - 1)]
            for index in np.flatnonzero(near == windows):
                at = offset + 8 * int(index)
                for needle in self._by_start[int(windows[index])]:
                    if content.startswith(needle, at):
                        return needle
        return None


def clear_bytes(path: Path) -> bytes:
    """A file's bytes and, if it is a column of a ClickHouse part, what its LZ4 blocks hold.

    A block is 16 bytes of checksum, a method byte (0x82 is LZ4, 0x02 none), its size with this 9-byte header, the size
    of its contents, and the contents.
    """
    raw = path.read_bytes()
    contents, at = [raw], 0
    while at + 25 <= len(raw):
        method, packed, unpacked = struct.unpack_from("<BII", raw, at + 16)
        if method not in {0x02, 0x82} or packed < 9 or at + 16 + packed > len(raw):
            break
        body = raw[at + 25 : at + 16 + packed]
        if method == 0x82:
            try:
                body = pa.Codec("lz4_raw").decompress(body, decompressed_size=unpacked, asbytes=True)
            except OSError:
                break
        contents.append(body)
        at += 16 + packed
    return b"\0".join(contents)


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Site, subprocess.CompletedProcess[str], Path]]:
    """A company with nine-digit ids, run by the command line with a temporary folder of its own."""
    folder = tmp_path_factory.mktemp("leaks")
    temporary = tmp_path_factory.mktemp("temporary")
    with ExitStack() as stack:
        site = Site(folder, generate(5, "demo", NOW, long_ids=True), stack)
        yield site, _run(site, temporary), temporary


def _run(site: Site, temporary: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", "run", "--config", str(site.file)]
    done = subprocess.run(
        command,
        env=os.environ | site.environment | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_hidden_ratings_stay_in_the_vault(
    ran: tuple[Site, subprocess.CompletedProcess[str], Path],
) -> None:
    site, done, temporary = ran
    mode_of = modes(site)
    truth = {(row.process_key, row.rating_id): row for row in rating_truth(site.state)}
    hidden = [row for key, row in truth.items() if mode_of[key] not in OPEN_OR_HR]
    shown = [row for key, row in truth.items() if mode_of[key] in OPEN_OR_HR]
    assert len(hidden) > 1000
    assert len(shown) > 1000

    pooled = site.rows("SELECT comment FROM mart.comment_feed WHERE scope = 'hidden'")["comment"].tolist()
    needles = _needles(site, hidden, shown, pooled)
    assert len(needles) > 3000
    search = Search(needles)

    # Positive control: without it a search that cannot see into compressed parts would always be content.
    shown_comments = {row.comment.encode() for row in shown if len(row.comment) > 20}
    seen = b"".join(clear_bytes(path) for path in files_below(site.folder / "warehouse"))
    assert sum(comment in seen for comment in list(shown_comments)[:200]) > 150

    for path in files_below(site.folder, temporary):
        found = search.first(clear_bytes(path))
        assert not found, f"{path.relative_to(path.parents[4])} holds {found!r} of a hidden rating"
    for stream in (done.stdout, done.stderr):
        assert not search.first(stream.encode())
    _search_tables(site, search)


def test_people_stand_only_in_dimensions_and_in_rows_that_may_name_them(
    ran: tuple[Site, subprocess.CompletedProcess[str], Path],
) -> None:
    site, done, _ = ran
    people = [
        *(str(int(user["ID"])) for user in site.state.users.values() if int(user["ID"]) > 10**8),
        *(str(user["LAST_NAME"]) for user in site.state.users.values() if len(user.get("LAST_NAME") or "") > 4),
    ]
    pattern = re.compile("|".join(re.escape(person) for person in people))
    allowed = {
        "dwh.dim_employee": {"employee_id", "full_name"},
        "dwh.dim_department": {"head_employee_id"},
        "dwh.fct_rating": {"ratee_id", "rater_key", "comment"},
        "hr.fct_rating": {"ratee_id", "rater_id", "rater_key", "comment"},
        "hr.fct_rating_event": {"ratee_id", "rater_id"},
        "hr.fct_obligation": {"ratee_id", "rater_id"},
        "hr.fct_score": {"ratee_id"},
        # Of named ratings alone.
        "hr.fct_signal": {"ratee_id", "rater_id"},
        "hr.fct_decision": {"ratee_id", "decided_by"},
        "mart.comment_feed": {"ratee", "rater", "comment"},
        "mart.comment_queue": {"ratee", "rater", "comment"},
        # A ratee block names whom it is about, never who rated.
        "mart.rating_block": {"ratee_id"},
        # Heads.
        "mart.user_access": {"user_id"},
        "mart.agreement": {"owner_id", "owner"},
        # Of open ratings alone; whose they are, never whose score it is.
        "mart.own_rating": {"ratee_id", "ratee", "comment"},
        "hr.recommendation": {"ratee_id", "ratee", "decided_by"},
        "hr.signal_queue": {"rater_id", "rater", "ratee_id", "ratee"},
    }
    for table, frame in _all_tables(site).items():
        for column in frame.columns:
            if column in allowed.get(table, set()):
                continue
            found = frame[column].astype("str").str.contains(pattern)
            assert not found.any(), f"{table}.{column} names a person"
    for path in files_below(site.folder / "dagster"):
        assert not re.search(pattern.pattern.encode(), path.read_bytes()), f"{path.name} names a person"
    for stream in (done.stdout, done.stderr):
        assert not pattern.search(stream)


def test_hidden_blocks_and_pairs_rest_on_enough_people(
    ran: tuple[Site, subprocess.CompletedProcess[str], Path],
) -> None:
    site, _, _ = ran
    mode_of = modes(site)
    rows = pd.DataFrame(
        [
            {
                "mode": mode_of[(row.process_key, row.rating_id)],
                "process_key": row.process_key,
                "ratee_id": row.ratee_id,
                "rater_id": row.rater_id,
                "month": pd.Timestamp(row.period),
                "rater_department_id": row.rater_department_id,
                "ratee_department_id": row.ratee_department_id,
            }
            for row in rating_truth(site.state)
            if not row.exclusion_code
        ]
    )
    hidden = rows[rows["mode"] != "open"]
    blocks = site.rows(
        "SELECT ratee_id, process_key, toString(block_from) AS block_from, toString(block_to) AS block_to "
        "FROM mart.rating_block"
    )
    assert len(blocks) > 50
    for block in blocks.itertuples():
        cell = hidden[
            (hidden["ratee_id"] == block.ratee_id)
            & (hidden["process_key"] == block.process_key)
            & hidden["month"].between(pd.Timestamp(str(block.block_from)), pd.Timestamp(str(block.block_to)))
            & (hidden["mode"] != "department_only")
        ]
        assert cell["rater_id"].nunique() >= 4
    pairs = site.rows(
        "SELECT process_key, rater_department_id, ratee_department_id, toString(period_from) AS period_from "
        "FROM mart.department_pair WHERE scope = 'hidden'"
    )
    assert len(pairs) > 5
    for pair in pairs.itertuples():
        start = pd.Timestamp(str(pair.period_from))
        cell = hidden[
            (hidden["process_key"] == pair.process_key)
            & (hidden["rater_department_id"] == pair.rater_department_id)
            & (hidden["ratee_department_id"] == pair.ratee_department_id)
            & hidden["month"].between(start, start + pd.DateOffset(months=2))
        ]
        assert cell["rater_id"].nunique() >= 5
        assert cell["ratee_id"].nunique() >= 2


def test_bands_of_hidden_ratings_hold_no_figure_and_signals_no_hidden_rating(
    ran: tuple[Site, subprocess.CompletedProcess[str], Path],
) -> None:
    site, _, _ = ran
    mode_of = modes(site)
    raters: dict[int, set[int]] = {}
    named: set[tuple[int, int]] = set()
    for row in rating_truth(site.state):
        mode = mode_of[(row.process_key, row.rating_id)]
        if not row.exclusion_code and mode in OPEN_OR_HR:
            named.add((row.rater_id, row.ratee_id))
        elif not row.exclusion_code and mode != "department_only" and (row.period.year, row.period.month) <= (2026, 6):
            raters.setdefault(row.ratee_id, set()).add(row.rater_id)
    scores = site.rows("SELECT * FROM hr.fct_score WHERE scope = 'hidden'")
    assert len(scores) > 20
    told = {"scope", "ratee_id", "window_from", "window_to", "band", "explanation", "method_version", "is_frozen"}
    assert scores.drop(columns=list(told)).isna().all(axis=None)
    assert not scores["explanation"].astype("str").str.contains(r"\d").any()
    assert all(len(raters[ratee]) >= 4 for ratee in scores["ratee_id"])
    for signal in site.rows("SELECT rater_id, ratee_id FROM hr.fct_signal").itertuples():
        pairs = {(signal.rater_id, signal.ratee_id), (signal.ratee_id, signal.rater_id)}
        assert pairs & named or (not signal.ratee_id and signal.rater_id in {rater for rater, _ in named})


def _needles(site: Site, hidden: list[TruthRow], shown: list[TruthRow], pooled: list[str]) -> set[bytes]:
    """What identifies a hidden rating: its comment with an identifier, its own id, its task's id and title.

    An id or text that a shown rating has too says nothing; ids repeat between processes. Nor does a comment that stands
    in a pool as it was written: there was nobody in it.
    """
    comments = "\n".join([*(row.comment for row in shown), *pooled])
    known = {str(row.rating_id) for row in shown} | {str(row.task_id) for row in shown}
    # An open comment may name another task by its number.
    known |= set(re.findall(r"\d{9}", comments))
    titles = "\n".join(str(site.state.tasks[row.task_id]["title"]) for row in shown if row.task_id in site.state.tasks)
    needles: set[str] = set()
    binary: set[bytes] = set()
    for row in hidden:
        needles |= {str(number) for number in (row.rating_id, row.task_id) if number > 10**8} - known
        # Columns of ids hold them as little-endian integers.
        binary |= {
            number.to_bytes(8, "little")
            for number in (row.rating_id, row.task_id)
            if number > 10**8 and str(number) not in known
        }
        if len(row.comment) >= 12 and row.comment not in comments:
            needles.add(row.comment)
        task = site.state.tasks.get(row.task_id)
        if task and len(str(task["title"])) >= 8 and str(task["title"]) not in titles:
            needles.add(str(task["title"]))
    return {needle.encode() for needle in needles} | binary


def _all_tables(site: Site) -> dict[str, pd.DataFrame]:
    names = site.rows(
        "SELECT concat(database, '.', name) AS name FROM system.tables "
        "WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')"
    )["name"]
    with site.settings.warehouse().session("test") as db:
        return {name: db.query(f"SELECT * FROM {name}").to_pandas() for name in names}


def _search_tables(site: Site, search: Search) -> None:
    tables = _all_tables(site)
    assert len(tables) > 15
    for table, frame in tables.items():
        for column in frame.columns:
            values = "\n".join(str(value) for value in frame[column].dropna().unique())
            assert not search.first(values.encode()), f"{table}.{column} holds something of a hidden rating"
