"""The vault: the only place outside the CRM where a hidden rating is tied to its rater.

Belongs here: encrypted snapshot files per dataset and period, their keys, forgetting. Does not belong here: what a
dataset means (`assets/`), which period is asked for (`pipelines/`).

Every period has a random data key of its own, wrapped by the key file. Nothing is derived from anything, so deleting
a period's wrapped key destroys every copy of its files, those in backups of the vault's datasets included. A wrapped
key is bound to its period and a file to its dataset and period: neither can be swapped for another.

    <vault>/keys/2026-01         nonce + wrapped data key
    <vault>/raw/2026-01.arrow    nonce + AES-256-GCM of an Arrow stream
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
_PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])")

CURRENT = "current"
"""Pseudo-period of what has no period: people and departments as of the last run."""


class VaultError(Exception):
    """The vault cannot be read or written; the message says what to do."""


class KeyFileError(VaultError):
    """The key file is missing, readable by others or no key."""


class WrongKeyError(VaultError):
    """The key file is a key, but not this vault's."""


class VaultKey:
    """The key-encrypting key; its repr shows nothing, so that no traceback or log can."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES or len(set(secret)) < KEY_BYTES // 4:
            raise KeyFileError(f"A vault key is exactly {KEY_BYTES} random bytes; make one with `estafeta init-key`.")
        self._cipher = AESGCM(secret)

    def __repr__(self) -> str:
        return "VaultKey(***)"

    @classmethod
    def load(cls, path: Path | None) -> VaultKey:
        """Reads the key file.

        Raises:
            KeyFileError: no path given, missing, a wrong size, or readable by anybody but its owner.
        """
        if path is None:
            raise KeyFileError(
                "ESTAFETA_KEY_FILE is not set: name the key file in it (make one with `estafeta init-key`)."
            )
        try:
            status = path.stat()
            secret = path.read_bytes()
        except FileNotFoundError:
            problem = "does not exist; make it with `estafeta init-key`, or restore it from your backup"
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        else:
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o177:
                problem = f"has mode {mode:04o}: other users could read it; run chmod 600 on it"
            elif len(secret) != KEY_BYTES:
                problem = f"holds {len(secret)} bytes instead of {KEY_BYTES}: it is no whole key; restore it"
            else:
                return cls(secret)
        raise KeyFileError(f"The key file {path} {problem}.")

    @staticmethod
    def create(path: Path) -> None:
        """Writes a new key, for its owner only; never over an existing file.

        Raises:
            KeyFileError: the file exists or cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            problem = f"cannot be written ({error.strerror})"
            if path.exists():
                problem = "exists already: a second key would make the vault unreadable, so it is left alone"
        else:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            return
        raise KeyFileError(f"The key file {path} {problem}.")

    def wrap(self, data_key: bytes, period: str) -> bytes:
        """Encrypts a period's data key, bound to the period."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data_key, _key_label(period))

    def unwrap(self, wrapped: bytes, period: str) -> bytes:
        """Decrypts a period's data key.

        Raises:
            WrongKeyError: another key wrapped it, or the file was changed.
        """
        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _key_label(period))
        except (InvalidTag, ValueError):
            pass
        raise WrongKeyError(
            f"The key file does not open the vault's period {period}: it is another key, or the file "
            f"keys/{period} was changed. Put back the key this vault was made with."
        )


class Vault:
    """Encrypted snapshots under one folder.

    Args:
        path: the vault's folder; made for its owner only.
        key: opens and seals the periods' data keys.
    """

    def __init__(self, path: Path, key: VaultKey) -> None:
        self._path = path
        self._key = key
        self._data_keys: dict[str, AESGCM] = {}
        _make_private(path)

    def __repr__(self) -> str:
        return f"Vault({str(self._path)!r})"

    def clean(self) -> None:
        """Removes what a killed run or a killed `forget` left behind; only for whoever holds the run lock."""
        for leftover in self._path.glob("*/.*.tmp"):
            leftover.unlink(missing_ok=True)
        for file in self._path.glob("*/*.arrow"):
            if not (self._path / "keys" / file.stem).exists():
                file.unlink(missing_ok=True)

    def write(self, dataset: str, period: str, table: pa.Table, notes: Mapping[str, str] | None = None) -> None:
        """Replaces one snapshot atomically.

        Args:
            dataset: folder name: raw, checked, scored, released, …
            period: "YYYY-MM" or `CURRENT`.
            table: any Arrow table.
            notes: small facts about the snapshot, kept encrypted with it.
        """
        noted = table.replace_schema_metadata({key.encode(): value.encode() for key, value in (notes or {}).items()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, noted.schema) as writer:
            writer.write_table(noted)
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher(period, make=True).encrypt(
            nonce, sink.getvalue().to_pybytes(), _file_label(dataset, period)
        )
        self._replace(self._file(dataset, period), nonce + sealed)

    def read(self, dataset: str, period: str) -> pa.Table:
        """Reads one snapshot; its notes are the schema's metadata (see `notes`).

        Raises:
            VaultError: there is none, or the file was cut or changed.
            WrongKeyError: the key file is not this vault's.
        """
        file = self._file(dataset, period)
        try:
            sealed = file.read_bytes()
        except FileNotFoundError:
            sealed = None
        if sealed is None:
            raise VaultError(f"The vault has no {dataset} of {period}: run that period first.")
        opened: bytes | None = None
        with contextlib.suppress(InvalidTag, ValueError):
            opened = self._cipher(period).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _file_label(dataset, period)
            )
        if opened is None:
            mend = "restore the vault from its backup" if period == CURRENT else f"delete it and run {period} again"
            raise VaultError(f"The vault file {dataset}/{file.name} was cut or changed: {mend}.")
        with pa.ipc.open_stream(pa.BufferReader(opened)) as reader:
            return reader.read_all()

    def has(self, dataset: str, period: str) -> bool:
        """Whether a snapshot exists; without its key it does not."""
        return self._file(dataset, period).exists() and (self._path / "keys" / period).exists()

    def periods(self, dataset: str) -> list[str]:
        """Periods with a snapshot of the dataset, oldest first; `CURRENT` is no period."""
        stems = (file.stem for file in (self._path / dataset).glob("*.arrow"))
        return sorted(stem for stem in stems if _PERIOD.fullmatch(stem) and self.has(dataset, stem))

    def held(self) -> list[str]:
        """Periods with anything in the vault, oldest first."""
        stems = {file.stem for file in self._path.glob("*/*.arrow")} | {file.name for file in self._path.glob("keys/*")}
        return sorted(stem for stem in stems if _PERIOD.fullmatch(stem))

    def forget(self, period: str) -> int:
        """Destroys a period: its wrapped key first, so that no copy of its files can be opened again.

        Returns:
            How many files were deleted, the key included.

        Raises:
            VaultError: no such period.
        """
        if not _PERIOD.fullmatch(period):
            raise VaultError(f"{period} is no period: write it as 2026-01.")
        files = [
            file for file in (self._path / "keys" / period, *self._path.glob(f"*/{period}.arrow")) if file.exists()
        ]
        if not files:
            raise VaultError(f"The vault holds nothing of {period}.")
        for file in files:
            file.unlink()
            _sync(file.parent)
        self._data_keys.pop(period, None)
        return len(files)

    def _file(self, dataset: str, period: str) -> Path:
        return self._path / dataset / f"{period}.arrow"

    def _cipher(self, period: str, *, make: bool = False) -> AESGCM:
        if period not in self._data_keys:
            file = self._path / "keys" / period
            if file.exists():
                data_key = self._key.unwrap(file.read_bytes(), period)
            elif make:
                data_key = secrets.token_bytes(KEY_BYTES)
                self._replace(file, self._key.wrap(data_key, period))
            else:
                raise VaultError(f"The vault's key of {period} is gone: the period was forgotten; run it again.")
            self._data_keys[period] = AESGCM(data_key)
        return self._data_keys[period]

    def _replace(self, file: Path, content: bytes) -> None:
        _make_private(file.parent)
        problem = ""
        temporary = file.with_name(f".{file.name}.tmp")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as sink:
                sink.write(content)
                sink.flush()
                os.fsync(sink.fileno())
            temporary.replace(file)
            _sync(file.parent)
        except OSError as error:
            problem = error.strerror or "unknown error"
            temporary.unlink(missing_ok=True)
        if problem:
            free = shutil.disk_usage(self._path).free // 2**20
            raise VaultError(f"The vault {self._path} cannot be written ({problem}, {free} MiB free).")


def notes(table: pa.Table) -> dict[str, str]:
    """What was noted when the snapshot was written."""
    return {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}


def _key_label(period: str) -> bytes:
    return b"estafeta data key|" + period.encode()


def _file_label(dataset: str, period: str) -> bytes:
    return f"estafeta snapshot|{dataset}|{period}".encode()


def _make_private(folder: Path) -> None:
    problem = ""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        problem = error.strerror or "unknown error"
    if problem:
        raise VaultError(f"The vault folder {folder} cannot be made ({problem}).")


def _sync(folder: Path) -> None:
    """A rename or deletion is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
