"""The state directory: one (app, profile), ours alone (R18), refused when it is not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kalos_connect_sdk.errors import ConfigError, StateUnreadable
from kalos_connect_sdk.storage import directory as module
from kalos_connect_sdk.storage.directory import StateDirectory, check_private, make_private, sync_directory
from kalos_connect_sdk.storage.failure import StorageFailure, cause


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_made_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        found = StateDirectory.open("com.example", "anna", tmp_path / "a" / "b")
        os.close(found.open_file("x", create=True))
    finally:
        os.umask(before)
    for path in (found.path, found.path.parent, tmp_path / "a" / "b", tmp_path / "a"):
        assert mode(path) == 0o700
    assert mode(found.path / "x") & 0o077 == 0
    assert found.path == tmp_path / "a" / "b" / "com.example" / "anna"


def test_r18_every_app_and_profile_has_a_place_and_a_slot_of_its_own(tmp_path: Path) -> None:
    who = [
        ("a", None),
        ("a", "default"),
        ("a", "_default"),
        ("b", None),
        ("a", "Anna Müller"),
        ("a", "../b"),
        ("a", "x" * 300),
    ]
    opened = [StateDirectory.open(app, profile, tmp_path / "s") for app, profile in who]
    assert len({one.path for one in opened}) == len({one.slot for one in opened}) == len(who)
    assert all(one.path.parent.parent == tmp_path / "s" for one in opened)
    assert StateDirectory.open("a", None, tmp_path / "s").slot == opened[0].slot
    assert len(opened[0].slot) == 32
    assert opened[0].slot in repr(opened[0])


@pytest.mark.parametrize("app_id", ["", ".", "..", "a/b", "a\0b", "-x", "a" * 101, "ä", "a b", 7])
def test_malformed_app_ids_are_refused(app_id: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="app_id"):
        StateDirectory.open(app_id, None, tmp_path)


@pytest.mark.parametrize("profile", ["", 7])
def test_malformed_profiles_are_refused(profile: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="profile"):
        StateDirectory.exists("a", profile, tmp_path)


def test_looking_creates_nothing(base: Path) -> None:
    assert not StateDirectory.exists("app", None, base)
    with pytest.raises(StateUnreadable, match="ENOENT"):
        StateDirectory.open("app", None, base, create=False)
    assert not base.exists()
    StateDirectory.open("app", None, base)
    assert StateDirectory.exists("app", None, base)
    assert StateDirectory.open("app", None, base, create=False).path.is_dir()


def test_the_default_is_the_users_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    found = StateDirectory.open("app", None, None).path
    assert found.parts[-3:] == ("kalos-connect", "app", "_default")
    assert found.is_relative_to(tmp_path)
    assert StateDirectory.open("app", None, "~/mine").path == tmp_path / "mine" / "app" / "_default"


@pytest.mark.fault(17)
@pytest.mark.parametrize("step", ["base", "app", "leaf"])
def test_a_symbolic_link_is_refused(step: str, directory: StateDirectory, base: Path, tmp_path: Path) -> None:
    victim = {"base": base, "app": base / "app", "leaf": directory.path}[step]
    victim.rename(tmp_path / "elsewhere")
    victim.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnreadable, match="symbolic link"):
        StateDirectory.open("app", None, f"{base}/")


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("step", "bits"),
    [("base", 0o777), ("base", 0o720), ("app", 0o702), ("leaf", 0o777), ("leaf", 0o750), ("leaf", 0o500)],
)
def test_a_directory_others_could_use_is_refused(step: str, bits: int, directory: StateDirectory, base: Path) -> None:
    victim = {"base": base, "app": base / "app", "leaf": directory.path}[step]
    victim.chmod(bits)
    with pytest.raises(StateUnreadable, match=f"{bits:04o}"):
        StateDirectory.open("app", None, base)
    assert mode(victim) == bits, "refused, not repaired"


@pytest.mark.fault(17)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("step", ["base", "app", "leaf", "file"])
def test_a_foreign_owner_is_refused(step: str, directory: StateDirectory, base: Path) -> None:
    os.close(directory.open_file("f", create=True))
    victim = {"base": base, "app": base / "app", "leaf": directory.path, "file": directory.path / "f"}[step]
    os.chown(victim, 12345, -1)
    with pytest.raises(StateUnreadable, match="another user"):
        StateDirectory.open("app", None, base).open_file("f", create=False)


def test_a_file_in_the_way_is_refused(base: Path) -> None:
    base.parent.mkdir(exist_ok=True)
    base.touch()
    with pytest.raises(StateUnreadable, match="not a directory"):
        StateDirectory.open("app", None, base)
    with pytest.raises(StorageFailure, match="ENOTDIR"):
        StateDirectory.open("app", None, base / "below")


def test_a_directory_that_another_process_makes_first_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.mkdir

    def slower(path: Path, mode: int) -> None:
        real(path, mode)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", slower)
    make_private(tmp_path / "x" / "y")
    assert (tmp_path / "x" / "y").is_dir()


def test_files_are_opened_without_following_links(directory: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / "target").touch(0o600)
    (directory.path / "link").symlink_to(tmp_path / "target")
    for create in (True, False):
        with pytest.raises(StateUnreadable, match="plain file"):
            directory.open_file("link", create=create)
    with pytest.raises(StateUnreadable, match="plain file"):
        check_private(directory.path / "link")


def test_only_plain_private_files_are_opened(directory: StateDirectory) -> None:
    os.mkfifo(directory.path / "pipe", 0o600)
    directory.folder("folder")
    for name in ("pipe", "folder"):
        with pytest.raises(StateUnreadable, match="plain file"):
            directory.open_file(name, create=False)
    (directory.path / "wide").touch()
    (directory.path / "wide").chmod(0o640)
    with pytest.raises(StateUnreadable, match="0640"):
        directory.open_file("wide", create=False)
    with pytest.raises(FileNotFoundError):
        directory.open_file("absent", create=False)
    with pytest.raises(StorageFailure, match="ENOENT"):
        directory.open_file("no/such", create=True)
    with pytest.raises(StorageFailure, match="ENAMETOOLONG") as caught:
        directory.open_file("n" * 300, create=True)
    assert caught.value.__context__ is None
    assert not check_private(directory.path / "absent")


def test_descriptors_are_not_inherited_by_programs(directory: StateDirectory) -> None:
    fd = directory.open_file("f", create=True, writable=False)
    assert not os.get_inheritable(fd)
    with pytest.raises(OSError):
        os.write(fd, b"x")
    os.close(fd)


def test_publishing_never_replaces(directory: StateDirectory) -> None:
    for name, text in (("one", b"1"), ("two", b"2")):
        fd = directory.open_file(name, create=True)
        os.write(fd, text)
        os.close(fd)
    assert directory.publish("one", "final")
    assert not directory.publish("two", "final")
    assert (directory.path / "final").read_bytes() == b"1"
    assert sorted(os.listdir(directory.path)) == ["final"]


def test_setting_aside_never_replaces(directory: StateDirectory) -> None:
    kept = []
    for text in (b"1", b"2", b"3"):
        (directory.path / "f").write_bytes(text)
        aside = directory.set_aside("f", "then")
        assert aside is not None
        kept.append((aside.name, aside.read_bytes()))
    assert kept == [("f.then", b"1"), ("f.then.2", b"2"), ("f.then.3", b"3")]
    assert directory.set_aside("f", "then") is None


def test_setting_aside_gives_up_rather_than_losing_a_file(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory.path / "f").touch()
    with pytest.raises(StorageFailure, match="ENAMETOOLONG"):
        directory.set_aside("f", "x" * 300)
    monkeypatch.setattr(module, "_ARCHIVES", 2)
    (directory.path / "f.then").touch()
    with pytest.raises(StorageFailure, match="too many"):
        directory.set_aside("f", "then")
    assert (directory.path / "f").exists()


def test_syncing_what_is_gone_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="ENOENT") as caught:
        sync_directory(tmp_path / "gone")
    assert caught.value.__context__ is None
    assert cause(OSError("no number")) == "OSError"
