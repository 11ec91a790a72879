"""Attacks on stores: canaries in files, access, metadata of parts.

Belongs here: A10, A11 and the parts of A9; the search for thousands of byte strings. Does not belong here: what the
rows say (`numeric.py`, `linkage.py`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.audit.evidence import Result, all_looked_at
from warehouse_sql import access

LONG_ENOUGH = 12
"""Shorter texts stand in other people's sentences by chance."""


class Search:
    """Looks for thousands of byte strings at once, by their first eight bytes."""

    def __init__(self, needles: Collection[bytes]) -> None:
        self._by_start: dict[int, list[bytes]] = {}
        for needle in needles:
            if len(needle) >= 8:
                self._by_start.setdefault(int.from_bytes(needle[:8], "little"), []).append(needle)
        self._starts = np.array(sorted(self._by_start), dtype="<u8")

    def found(self, content: bytes) -> set[bytes]:
        """The strings that stand in some bytes."""
        hits: set[bytes] = set()
        if not len(self._starts):
            return hits
        for offset in range(8):
            windows = np.frombuffer(content[offset : len(content) - (len(content) - offset) % 8], dtype="<u8")
            near = self._starts[np.searchsorted(self._starts, windows).clip(max=len(self._starts) - 1)]
            for index in np.flatnonzero(near == windows):
                at = offset + 8 * int(index)
                hits |= {needle for needle in self._by_start[int(windows[index])] if content.startswith(needle, at)}
        return hits


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


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path


def canaries(folder: Path, secrets: Collection[str], people: Collection[str], logs: Sequence[Path]) -> Result:
    """A10: texts of hidden ratings anywhere in the stores, names of people in what the pipeline notes of its runs.

    Args:
        folder: where all stores lie: vault, warehouse, logs, copies.
        secrets: texts that stand in hidden ratings only.
        people: surnames.
        logs: folders of run storage and logs, in which no person may be named.
    """
    search = Search({secret.encode() for secret in secrets if len(secret) >= LONG_ENOUGH})
    named = re.compile("|".join(re.escape(name) for name in people if len(name) > 4).encode()) if people else None
    hits: set[bytes] = set()
    files = 0
    for path in files_below(folder):
        content = clear_bytes(path)
        files += 1
        hits |= search.found(content)
        if named is not None and any(path.is_relative_to(log) for log in logs):
            hits |= set(named.findall(content))
    looked_at = len(secrets) + len(people)
    return all_looked_at("A10 canaries", len(hits), looked_at, f"texts and names looked for in {files} files")


def privileges() -> Result:
    """A11: grants, views and profiles in the access files against the privilege matrix."""
    return all_looked_at("A11 privileges", len(access.findings()), len(access.MATRIX), "grants against the matrix")


def parts(found: pd.DataFrame) -> Result:
    """A9: a hidden partition written in more than one piece shows when each piece was written.

    Args:
        found: active parts of hidden partitions: table, partition, parts, moments.
    """
    torn = int(((found["parts"] > 1) | (found["moments"] > 1)).sum()) if len(found) else 0
    return all_looked_at("A9 parts and write times", torn, len(found), "hidden partitions in one part")
