"""The vault: what lies on disk is unreadable without its key, whole or old, and gone when forgotten."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from sources.vault import (
    CURRENT,
    KEY_BYTES,
    DestroyedKeyError,
    KeyFileError,
    Vault,
    VaultError,
    VaultKey,
    WrongKeyError,
    notes,
)

JANUARY, FEBRUARY = "2026-01", "2026-02"
NAME, COMMENT = "Ковалёва Анна", "Нет исходников от Ковалёвой"
TABLE = pa.table({"rater_name": [NAME] * 50, "comment": [COMMENT] * 50, "rater_id": [712_345_678] * 50})


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "secrets" / "key"
    VaultKey.create(file)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def open_vault(folder: Path, key_file: Path) -> Callable[[], Vault]:
    """Opens the vault as another process would: nothing remembered."""
    return lambda: Vault(folder, VaultKey.load(key_file))


@pytest.fixture
def vault(open_vault: Callable[[], Vault]) -> Vault:
    return open_vault()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def numbers(*values: int) -> pa.Table:
    return pa.table({"number": pa.array(values, pa.int64())})


# --- the key file -------------------------------------------------------------------------------------------------


def test_a_new_key_is_32_random_bytes_for_its_owner_only(key_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    VaultKey.create(other)
    assert len(key_file.read_bytes()) == KEY_BYTES == 32
    assert key_file.read_bytes() != other.read_bytes()
    assert (mode(key_file), mode(key_file.parent)) == (0o600, 0o700)


def test_a_new_key_never_replaces_an_old_one(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        VaultKey.create(key_file)
    assert key_file.read_bytes() == before


def test_a_key_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match=r"cannot be written \(.+\)"):
        VaultKey.create(tmp_path / "file" / "key")


def test_no_key_file_named_says_which_variable_names_it() -> None:
    with pytest.raises(KeyFileError, match="ESTAFETA_KEY_FILE is not set"):
        VaultKey.load(None)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"nowhere does not exist.*init-key"):
        VaultKey.load(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_size_is_refused(key_file: Path, size: int) -> None:
    key_file.write_bytes(os.urandom(size))
    with pytest.raises(KeyFileError, match=f"holds {size} bytes instead of 32"):
        VaultKey.load(key_file)


def test_a_key_that_was_typed_instead_of_drawn_is_refused(key_file: Path) -> None:
    key_file.write_bytes(b"0" * 32)
    with pytest.raises(KeyFileError, match="32 random bytes"):
        VaultKey.load(key_file)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o660, 0o620, 0o700, 0o601])
def test_a_key_that_others_could_read_is_refused(key_file: Path, bits: int) -> None:
    key_file.chmod(bits)
    with pytest.raises(KeyFileError, match=f"has mode {bits:04o}.*chmod 600"):
        VaultKey.load(key_file)


@pytest.mark.parametrize("bits", [0o400, 0o600])
def test_a_key_for_its_owner_only_is_accepted(key_file: Path, bits: int) -> None:
    key_file.chmod(bits)
    VaultKey.load(key_file)


def test_a_folder_instead_of_a_key_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be read"):
        VaultKey.load(tmp_path)


def test_no_repr_shows_a_key(key_file: Path, vault: Vault) -> None:
    key, secret = VaultKey.load(key_file), key_file.read_bytes()
    assert repr(key) == str(key) == "VaultKey(***)"
    for shown in (repr(vault), str(vault)):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


# --- writing and reading ------------------------------------------------------------------------------------------


def test_what_is_written_is_read_by_another_process(vault: Vault, open_vault: Callable[[], Vault]) -> None:
    vault.write("raw", JANUARY, TABLE, {"read_on": "2026-02-10"})
    found = open_vault().read("raw", JANUARY)
    assert found.equals(TABLE)
    assert notes(found) == {"read_on": "2026-02-10"}


def test_without_notes_there_are_none(vault: Vault) -> None:
    vault.write("raw", JANUARY, TABLE.replace_schema_metadata({"pandas": "{}"}))
    assert notes(vault.read("raw", JANUARY)) == {}


def test_a_table_without_rows_keeps_its_columns(vault: Vault) -> None:
    vault.write("raw", JANUARY, TABLE.slice(0, 0))
    assert vault.read("raw", JANUARY).schema == TABLE.schema


def test_a_second_write_replaces_the_first(vault: Vault) -> None:
    vault.write("raw", JANUARY, numbers(1))
    vault.write("raw", JANUARY, numbers(2, 3))
    assert vault.read("raw", JANUARY).equals(numbers(2, 3))


def test_periods_are_listed_in_order_and_current_is_none(vault: Vault) -> None:
    for period in ("2026-02", CURRENT, "2025-12"):
        vault.write("raw", period, numbers(1))
    assert vault.periods("raw") == ["2025-12", "2026-02"]
    assert vault.periods("checked") == []
    assert [vault.has("raw", period) for period in (CURRENT, "2025-12", "2026-01")] == [True, True, False]


def test_a_period_that_was_never_written_says_so(vault: Vault) -> None:
    with pytest.raises(VaultError, match="no raw of 2026-01"):
        vault.read("raw", JANUARY)


def test_nothing_readable_lies_in_the_files(vault: Vault, folder: Path, key_file: Path) -> None:
    vault.write("raw", JANUARY, TABLE, {"note": COMMENT})
    data_key = VaultKey.load(key_file).unwrap((folder / "keys" / JANUARY).read_bytes(), JANUARY)
    content = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    readable = (NAME.encode(), COMMENT.encode(), b"rater_name", b"ARROW", (712_345_678).to_bytes(4, "little"))
    assert [text for text in (*readable, data_key, key_file.read_bytes()) if text in content] == []


def test_the_same_table_is_never_the_same_bytes_twice(vault: Vault, folder: Path) -> None:
    file = folder / "raw" / f"{JANUARY}.arrow"
    vault.write("raw", JANUARY, TABLE)
    before = file.read_bytes()
    vault.write("raw", JANUARY, TABLE)
    assert file.read_bytes()[:12] != before[:12]
    assert file.read_bytes() != before


def test_every_period_has_a_key_of_its_own(vault: Vault, folder: Path, key_file: Path) -> None:
    for period in (JANUARY, FEBRUARY):
        vault.write("raw", period, TABLE)
    key = VaultKey.load(key_file)
    unwrapped = {key.unwrap((folder / "keys" / period).read_bytes(), period) for period in (JANUARY, FEBRUARY)}
    assert len(unwrapped) == 2


def test_files_and_folders_are_for_their_owner_only(folder: Path, key_file: Path) -> None:
    folder.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        Vault(folder, VaultKey.load(key_file)).write("raw", JANUARY, TABLE)
    finally:
        os.umask(before)
    modes = {path.relative_to(folder).as_posix(): mode(path) for path in [folder, *folder.rglob("*")]}
    assert modes == {
        ".": 0o700,
        "keys": 0o700,
        f"keys/{JANUARY}": 0o600,
        "raw": 0o700,
        f"raw/{JANUARY}.arrow": 0o600,
    }


# --- wrong keys and changed files ---------------------------------------------------------------------------------


def test_another_key_opens_and_overwrites_nothing(vault: Vault, folder: Path, tmp_path: Path) -> None:
    vault.write("raw", JANUARY, TABLE)
    VaultKey.create(tmp_path / "other")
    stranger = Vault(folder, VaultKey.load(tmp_path / "other"))
    with pytest.raises(WrongKeyError, match="2026-01"):
        stranger.read("raw", JANUARY)
    with pytest.raises(WrongKeyError):
        stranger.write("raw", JANUARY, numbers(1))
    assert vault.read("raw", JANUARY).equals(TABLE)


@pytest.mark.parametrize("place", [0, 11, 12, 200, -17, -1])
def test_a_changed_byte_is_noticed(vault: Vault, folder: Path, place: int) -> None:
    vault.write("raw", JANUARY, TABLE)
    file = folder / "raw" / f"{JANUARY}.arrow"
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(VaultError, match=r"raw/2026-01\.arrow was cut or changed"):
        vault.read("raw", JANUARY)


@pytest.mark.parametrize("size", [0, 5, 12, 28, -1])
def test_a_cut_file_is_noticed(vault: Vault, folder: Path, size: int) -> None:
    vault.write("raw", JANUARY, TABLE)
    file = folder / "raw" / f"{JANUARY}.arrow"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(VaultError, match="cut or changed"):
        vault.read("raw", JANUARY)


@pytest.mark.parametrize("size", [0, 5, 12, 59])
def test_a_cut_key_is_noticed(vault: Vault, open_vault: Callable[[], Vault], folder: Path, size: int) -> None:
    vault.write("raw", JANUARY, TABLE)
    file = folder / "keys" / JANUARY
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(WrongKeyError, match="keys/2026-01 was changed"):
        open_vault().read("raw", JANUARY)


def test_files_cannot_be_swapped_between_periods(vault: Vault, folder: Path) -> None:
    for period in (JANUARY, FEBRUARY):
        vault.write("raw", period, TABLE)
    swap(folder / "raw" / f"{JANUARY}.arrow", folder / "raw" / f"{FEBRUARY}.arrow")
    with pytest.raises(VaultError, match="cut or changed"):
        vault.read("raw", JANUARY)


def test_files_cannot_be_moved_to_another_period_with_their_key(
    vault: Vault, open_vault: Callable[[], Vault], folder: Path
) -> None:
    for period in (JANUARY, FEBRUARY):
        vault.write("raw", period, TABLE)
    swap(folder / "raw" / f"{JANUARY}.arrow", folder / "raw" / f"{FEBRUARY}.arrow")
    swap(folder / "keys" / JANUARY, folder / "keys" / FEBRUARY)
    with pytest.raises(WrongKeyError):
        open_vault().read("raw", JANUARY)


def test_files_cannot_be_swapped_between_datasets(vault: Vault, folder: Path) -> None:
    for dataset in ("raw", "checked"):
        vault.write(dataset, JANUARY, TABLE)
    swap(folder / "raw" / f"{JANUARY}.arrow", folder / "checked" / f"{JANUARY}.arrow")
    for dataset in ("raw", "checked"):
        with pytest.raises(VaultError, match="cut or changed"):
            vault.read(dataset, JANUARY)


def swap(one: Path, other: Path) -> None:
    mine, theirs = one.read_bytes(), other.read_bytes()
    one.write_bytes(theirs)
    other.write_bytes(mine)


# --- forgetting ---------------------------------------------------------------------------------------------------


def test_a_forgotten_period_is_gone_from_every_dataset_and_no_other_period_is(vault: Vault, folder: Path) -> None:
    for period in (JANUARY, FEBRUARY, CURRENT):
        for dataset in ("raw", "checked"):
            vault.write(dataset, period, TABLE)
    assert vault.forget(JANUARY) == 3
    assert [path.name for path in folder.rglob("*") if JANUARY in path.name] == []
    assert vault.periods("raw") == vault.periods("checked") == [FEBRUARY]
    assert vault.read("raw", FEBRUARY).equals(TABLE)
    assert vault.read("raw", CURRENT).equals(TABLE)


def test_a_backup_of_a_forgotten_period_opens_for_nobody(
    vault: Vault, open_vault: Callable[[], Vault], folder: Path
) -> None:
    vault.write("raw", JANUARY, TABLE)
    file = folder / "raw" / f"{JANUARY}.arrow"
    backup = file.read_bytes()
    vault.forget(JANUARY)
    file.write_bytes(backup)
    for opened in (vault, open_vault()):
        with pytest.raises(VaultError, match="forgotten"):
            opened.read("raw", JANUARY)
    vault.write("checked", JANUARY, TABLE)
    for opened in (vault, open_vault()):
        with pytest.raises(VaultError, match="cut or changed"):
            opened.read("raw", JANUARY)


def test_a_forgotten_period_can_be_written_anew(vault: Vault, open_vault: Callable[[], Vault]) -> None:
    vault.write("raw", JANUARY, TABLE)
    vault.forget(JANUARY)
    vault.write("raw", JANUARY, numbers(7))
    assert open_vault().read("raw", JANUARY).equals(numbers(7))


def test_forgetting_goes_on_where_it_was_interrupted(vault: Vault, open_vault: Callable[[], Vault]) -> None:
    vault.write("raw", JANUARY, TABLE)
    vault.write("checked", JANUARY, TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", killed_after(1, Path.unlink))
        with pytest.raises(KeyboardInterrupt):
            vault.forget(JANUARY)
    # The key is the first to go: what is left is noise already.
    with pytest.raises(VaultError, match="forgotten"):
        open_vault().read("raw", JANUARY)
    assert open_vault().forget(JANUARY) == 2
    assert not open_vault().has("raw", JANUARY)


def killed_after(count: int, method: Callable[..., object]) -> Callable[..., object]:
    """Lets a method work so many times, then dies as a killed process would."""
    calls = []

    def working(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > count:
            raise KeyboardInterrupt
        return method(*arguments, **options)

    return working


@pytest.mark.parametrize("period", ["2026-13", "2026-1", "", "*", "current", "../keys", "2026-01x"])
def test_what_is_no_period_cannot_be_forgotten(vault: Vault, period: str) -> None:
    vault.write("raw", CURRENT, TABLE)
    with pytest.raises(VaultError, match="is no period"):
        vault.forget(period)
    assert vault.has("raw", CURRENT)


def test_forgetting_what_is_not_there_says_so(vault: Vault) -> None:
    with pytest.raises(VaultError, match="holds nothing of 2026-01"):
        vault.forget(JANUARY)


# --- pseudonym keys -----------------------------------------------------------------------------------------------


def test_a_pseudonym_key_is_random_and_the_same_for_every_process(
    vault: Vault, open_vault: Callable[[], Vault]
) -> None:
    keys = {period: vault.pseudonym_key(period, make=True) for period in (JANUARY, FEBRUARY)}
    assert [len(key) for key in keys.values()] == [KEY_BYTES, KEY_BYTES]
    assert keys[JANUARY] != keys[FEBRUARY]
    for period, key in keys.items():
        assert open_vault().pseudonym_key(period) == open_vault().pseudonym_key(period, make=True) == key
    assert vault.pseudonym_keys() == [JANUARY, FEBRUARY]


def test_a_pseudonym_key_that_was_never_made_says_so_and_is_not_made_by_asking(vault: Vault, folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(VaultError, match="no pseudonym key of 2026-01") as refusal:
            vault.pseudonym_key(JANUARY)
        assert not isinstance(refusal.value, DestroyedKeyError)
    assert list(folder.rglob("*2026*")) == []
    assert vault.destroy_pseudonym_key(JANUARY) is False
    assert len(vault.pseudonym_key(JANUARY, make=True)) == KEY_BYTES


def test_a_destroyed_pseudonym_key_is_refused_by_name_and_never_made_again(
    vault: Vault, open_vault: Callable[[], Vault]
) -> None:
    other = vault.pseudonym_key(FEBRUARY, make=True)
    vault.pseudonym_key(JANUARY, make=True)
    assert [vault.destroy_pseudonym_key(JANUARY), vault.destroy_pseudonym_key(JANUARY)] == [True, False]
    for opened in (vault, open_vault()):
        for make in (False, True):
            with pytest.raises(DestroyedKeyError, match="pseudonym key of 2026-01 was destroyed"):
                opened.pseudonym_key(JANUARY, make=make)
    assert open_vault().pseudonym_keys() == [FEBRUARY]
    assert open_vault().pseudonym_key(FEBRUARY) == other


def test_a_pseudonym_key_from_a_backup_stays_destroyed(
    vault: Vault, open_vault: Callable[[], Vault], folder: Path
) -> None:
    vault.write("raw", JANUARY, TABLE)
    vault.pseudonym_key(JANUARY, make=True)
    file = folder / "pseudonym_key" / JANUARY
    backup = file.read_bytes()
    vault.destroy_pseudonym_key(JANUARY)
    file.write_bytes(backup)
    with pytest.raises(DestroyedKeyError):
        open_vault().pseudonym_key(JANUARY)
    vault.clean()
    assert not file.exists()
    assert vault.read("raw", JANUARY).equals(TABLE)


def test_a_forgotten_period_takes_its_pseudonym_key_along_and_leaves_the_tombstone(
    vault: Vault, open_vault: Callable[[], Vault], folder: Path
) -> None:
    vault.write("raw", JANUARY, TABLE)
    vault.pseudonym_key(JANUARY, make=True)
    backup = (folder / "pseudonym_key" / JANUARY).read_bytes()
    assert vault.forget(JANUARY) == 3
    assert [path.name for path in folder.rglob("*") if JANUARY in path.name] == [f"{JANUARY}.destroyed"]
    assert vault.held() == []
    with pytest.raises(VaultError, match="holds nothing"):
        vault.forget(JANUARY)
    vault.write("raw", JANUARY, numbers(1))
    with pytest.raises(DestroyedKeyError):
        open_vault().pseudonym_key(JANUARY, make=True)
    # Whoever removes the tombstone too has noise: the data key that sealed it is gone.
    (folder / "pseudonym_key" / f"{JANUARY}.destroyed").unlink()
    (folder / "pseudonym_key" / JANUARY).write_bytes(backup)
    with pytest.raises(VaultError, match="cut or changed"):
        open_vault().pseudonym_key(JANUARY)


def test_a_killed_destruction_has_destroyed(vault: Vault, open_vault: Callable[[], Vault], folder: Path) -> None:
    vault.pseudonym_key(JANUARY, make=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", killed_after(0, Path.unlink))
        with pytest.raises(KeyboardInterrupt):
            vault.destroy_pseudonym_key(JANUARY)
    with pytest.raises(DestroyedKeyError):
        open_vault().pseudonym_key(JANUARY, make=True)
    open_vault().clean()
    assert not (folder / "pseudonym_key" / JANUARY).exists()


@pytest.mark.parametrize("size", [0, 5, 12, 59])
def test_a_cut_pseudonym_key_is_noticed(vault: Vault, folder: Path, size: int) -> None:
    vault.pseudonym_key(JANUARY, make=True)
    file = folder / "pseudonym_key" / JANUARY
    file.write_bytes(file.read_bytes()[:size])
    for make in (False, True):
        with pytest.raises(VaultError, match="pseudonym_key/2026-01 was cut or changed"):
            vault.pseudonym_key(JANUARY, make=make)


def test_pseudonym_keys_cannot_be_swapped_between_periods_or_for_a_snapshot(vault: Vault, folder: Path) -> None:
    for period in (JANUARY, FEBRUARY):
        vault.pseudonym_key(period, make=True)
        vault.write("raw", period, TABLE)
    swap(folder / "pseudonym_key" / JANUARY, folder / "pseudonym_key" / FEBRUARY)
    with pytest.raises(VaultError, match="cut or changed"):
        vault.pseudonym_key(JANUARY)
    swap(folder / "pseudonym_key" / JANUARY, folder / "raw" / f"{FEBRUARY}.arrow")
    with pytest.raises(VaultError, match="cut or changed"):
        vault.pseudonym_key(FEBRUARY)
    with pytest.raises(VaultError, match="cut or changed"):
        vault.read("raw", FEBRUARY)


def test_another_key_file_opens_no_pseudonym_key_and_makes_none(vault: Vault, folder: Path, tmp_path: Path) -> None:
    vault.pseudonym_key(JANUARY, make=True)
    vault.write("raw", FEBRUARY, TABLE)
    VaultKey.create(tmp_path / "other")
    stranger = Vault(folder, VaultKey.load(tmp_path / "other"))
    for period in (JANUARY, FEBRUARY):
        with pytest.raises(WrongKeyError, match=period):
            stranger.pseudonym_key(period, make=True)


def test_a_pseudonym_key_lies_in_no_file_and_shows_in_no_message(vault: Vault, folder: Path) -> None:
    secret = vault.pseudonym_key(JANUARY, make=True)
    content = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert secret not in content
    assert secret.hex().encode() not in content
    assert mode(folder / "pseudonym_key" / JANUARY) == 0o600
    vault.destroy_pseudonym_key(JANUARY)
    with pytest.raises(DestroyedKeyError) as refusal:
        vault.pseudonym_key(JANUARY)
    for shown in (repr(vault), str(refusal.value), repr(refusal.value)):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


@pytest.mark.parametrize("period", ["2026-13", "", "current", "../keys/2026-01"])
def test_what_is_no_period_has_no_pseudonym_key(vault: Vault, period: str) -> None:
    with pytest.raises(VaultError, match="is no period"):
        vault.pseudonym_key(period, make=True)
    with pytest.raises(VaultError, match="is no period"):
        vault.destroy_pseudonym_key(period)


# --- interrupted and impossible writes ----------------------------------------------------------------------------


def test_a_run_killed_before_the_rename_leaves_the_old_snapshot(
    vault: Vault, open_vault: Callable[[], Vault], folder: Path
) -> None:
    vault.write("raw", JANUARY, numbers(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", killed_after(0, Path.replace))
        with pytest.raises(KeyboardInterrupt):
            vault.write("raw", JANUARY, numbers(2))
    assert [file.name for file in (folder / "raw").iterdir() if file.suffix == ".tmp"] != []
    after = open_vault()
    assert after.read("raw", JANUARY).equals(numbers(1))
    assert after.periods("raw") == [JANUARY]
    after.clean()
    assert [file.name for file in (folder / "raw").iterdir()] == [f"{JANUARY}.arrow"]


def test_a_run_killed_after_its_key_was_written_leaves_a_vault_that_works(
    vault: Vault, open_vault: Callable[[], Vault]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", killed_after(1, Path.replace))
        with pytest.raises(KeyboardInterrupt):
            vault.write("raw", JANUARY, numbers(1))
    after = open_vault()
    assert not after.has("raw", JANUARY)
    after.write("raw", JANUARY, numbers(2))
    assert open_vault().read("raw", JANUARY).equals(numbers(2))


def test_a_full_disk_is_an_error_in_words_and_leaves_the_old_snapshot(
    vault: Vault, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.write("raw", JANUARY, numbers(1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VaultError, match=r"cannot be written \(No space left on device, \d+ MiB free\)") as refusal:
        vault.write("raw", JANUARY, numbers(2))
    monkeypatch.undo()
    assert refusal.value.__context__ is None
    assert vault.read("raw", JANUARY).equals(numbers(1))
    assert [file.name for file in (folder / "raw").iterdir()] == [f"{JANUARY}.arrow"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, key_file: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VaultError, match=r"file/vault cannot be made \(.+\)"):
        Vault(tmp_path / "file" / "vault", VaultKey.load(key_file))
