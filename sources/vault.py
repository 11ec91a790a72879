"""The vault: the only place outside the CRM where a hidden rating is tied to its rater.

Belongs here: encrypted snapshot files per dataset and period, their keys, forgetting. Does not belong here: what a
dataset means (`assets/`), which period is asked for (`pipelines/`).

Every period has a random data key of its own, wrapped by the key file. Nothing is derived from anything, so deleting
a period's wrapped key destroys every copy of its files, those in backups of the vault's datasets included. A wrapped
key is bound to its period and a file to its dataset and period: neither can be swapped for another.

A period's pseudonym key makes the pseudonyms of its published rows. It dies before its period does and is never made
twice, so what is left of a destroyed one is a tombstone, which outlives the period.

    <vault>/keys/2026-01                       nonce + wrapped data key
    <vault>/raw/2026-01.arrow                  nonce + AES-256-GCM of an Arrow stream
    <vault>/pseudonym_key/2026-01              nonce + AES-256-GCM of a pseudonym key
    <vault>/pseudonym_key/2026-01.destroyed    empty: there was a key once
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


class DestroyedKeyError(VaultError):
    """A period's pseudonym key was destroyed, as planned or with its period."""


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
        for tombstone in self._path.glob("pseudonym_key/*.destroyed"):
            tombstone.with_suffix("").unlink(missing_ok=True)

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
        content = sink.getvalue().to_pybytes()
        self._replace(self._file(dataset, period), self._seal(period, content, _file_label(dataset, period)))

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
        opened = self._open(period, sealed, _file_label(dataset, period))
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

        The pseudonym key goes even before: once nothing else is left of a period, nobody would ask to destroy that.

        Returns:
            How many files were deleted, the keys included.

        Raises:
            VaultError: no such period.
        """
        _check(period)
        files = [
            file for file in (self._path / "keys" / period, *self._path.glob(f"*/{period}.arrow")) if file.exists()
        ]
        destroyed = self.destroy_pseudonym_key(period)
        if not files and not destroyed:
            raise VaultError(f"The vault holds nothing of {period}.")
        for file in files:
            file.unlink()
            _sync(file.parent)
        self._data_keys.pop(period, None)
        return len(files) + destroyed

    def pseudonym_key(self, period: str, *, make: bool = False) -> bytes:
        """The key of a period's pseudonyms: random bytes, the same until it is destroyed.

        Args:
            period: "YYYY-MM".
            make: whether to make one where there never was any.

        Returns:
            32 bytes; they must not reach a message, a log or the warehouse.

        Raises:
            DestroyedKeyError: it was destroyed.
            VaultError: there never was any, or its file was cut or changed.
            WrongKeyError: the key file is not this vault's.
        """
        _check(period)
        file = self._pseudonym_key(period)
        if _tombstone(file).exists():
            raise DestroyedKeyError(
                f"The vault's pseudonym key of {period} was destroyed: its rows cannot get pseudonyms any more."
            )
        label = _file_label("pseudonym_key", period)
        if file.exists():
            opened = self._open(period, file.read_bytes(), label)
            if opened is None:
                raise VaultError(
                    f"The vault file pseudonym_key/{period} was cut or changed: restore the vault from its backup."
                )
            return opened
        if not make:
            raise VaultError(f"The vault has no pseudonym key of {period}: no rows of that month got pseudonyms.")
        secret = secrets.token_bytes(KEY_BYTES)
        self._replace(file, self._seal(period, secret, label))
        return secret

    def destroy_pseudonym_key(self, period: str) -> bool:
        """Destroys a period's pseudonym key: its pseudonyms can be tied to nobody any more, by nobody.

        The tombstone comes first: a key restored from a backup stays refused.

        Returns:
            Whether there was one to destroy.

        Raises:
            VaultError: no such period, or the vault cannot be written.
        """
        _check(period)
        file = self._pseudonym_key(period)
        if not file.exists():
            return False
        self._replace(_tombstone(file), b"")
        file.unlink()
        _sync(file.parent)
        return True

    def pseudonym_keys(self) -> list[str]:
        """Periods that have a pseudonym key, oldest first."""
        stems = (file.name for file in self._path.glob("pseudonym_key/*"))
        return sorted(stem for stem in stems if _PERIOD.fullmatch(stem))

    def _pseudonym_key(self, period: str) -> Path:
        return self._path / "pseudonym_key" / period

    def _seal(self, period: str, content: bytes, label: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher(period, make=True).encrypt(nonce, content, label)

    def _open(self, period: str, sealed: bytes, label: bytes) -> bytes | None:
        """What was sealed; None if it was cut, changed or swapped."""
        cipher = self._cipher(period)
        with contextlib.suppress(InvalidTag, ValueError):
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label)
        return None

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


def _check(period: str) -> None:
    if not _PERIOD.fullmatch(period):
        raise VaultError(f"{period} is no period: write it as 2026-01.")


def _tombstone(file: Path) -> Path:
    return file.with_name(f"{file.name}.destroyed")


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
