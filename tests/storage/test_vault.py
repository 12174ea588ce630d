"""The vaults: one contract for all, and what is peculiar to the key file and the keyring (R8, R9, R10)."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kalos_connect_sdk.errors import ConfigError, VaultUnavailable
from kalos_connect_sdk.ports import Vault
from kalos_connect_sdk.storage import filevault, keyringvault
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.keyringvault import SERVICE, KeyringVault
from kalos_connect_sdk.storage.locks import try_lock
from kalos_connect_sdk.storage.vault import FileVault, MemoryVault, open_vault

ROOT = Path(__file__).resolve().parents[2]
SECRET = bytes(range(64))


class Store:
    """A desktop's secret store as ``keyring`` shows it, several matches and all."""

    priority = 5

    def __init__(self) -> None:
        self.items: list[tuple[str, str, str]] = []

    def get_password(self, service: str, name: str) -> str | None:
        return next((text for where, who, text in self.items if (where, who) == (service, name)), None)

    def set_password(self, service: str, name: str, text: str) -> None:
        self.items.append((service, name, text))

    def delete_password(self, service: str, name: str) -> None:
        self.items.remove(next(item for item in self.items if item[:2] == (service, name)))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    monkeypatch.setattr(keyringvault, "_BACKENDS", {sys.platform: (("somewhere", "Keyring"),)})
    monkeypatch.setattr(keyringvault.importlib, "import_module", lambda _: SimpleNamespace(Keyring=FakeBackend(made)))
    return made


class FakeBackend:
    """Stands for the backend class: has a priority, and gives the store when called."""

    def __init__(self, made: Store) -> None:
        self.made = made

    @property
    def priority(self) -> int:
        return self.made.priority

    def __call__(self) -> Store:
        return self.made


@pytest.fixture(params=["file", "memory", "keyring"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    if request.param == "keyring":
        request.getfixturevalue("store")
        return KeyringVault()
    return open_vault("memory" if request.param == "memory" else f"file:{tmp_path}/made/key", None)


class TestEveryVault:
    """The contract of the port, over all three."""

    def test_it_is_a_vault(self, vault: Vault) -> None:
        assert isinstance(vault, Vault)
        assert vault.persistent is (vault.kind != "memory")
        assert vault.may_prompt is (vault.kind == "keyring")

    def test_slots_are_kept_apart(self, vault: Vault) -> None:
        assert vault.load("a") is None
        vault.store("a", SECRET)
        vault.store("b", b"")
        assert vault.load("a") == SECRET
        assert vault.load("b") == b""
        vault.store("a", b"other")
        assert vault.load("a") == b"other"
        vault.delete("a")
        vault.delete("a")
        assert vault.load("a") is None
        assert vault.load("b") == b""

    def test_r10_it_shows_no_secret(self, vault: Vault) -> None:
        vault.store("a", b"CANARYSECRET")
        assert "CANARY" not in repr(vault)


def test_the_setting_names_the_vault(directory: StateDirectory, tmp_path: Path) -> None:
    assert isinstance(open_vault("keyring", directory), KeyringVault)
    assert isinstance(open_vault("memory", directory), MemoryVault)
    assert isinstance(open_vault(f"file:{tmp_path}/x", directory), FileVault)
    for wrong in ("file:", "disk", ""):
        with pytest.raises(ConfigError, match="keyring, memory or file:PATH"):
            open_vault(wrong, directory)


def test_r7_the_key_file_may_not_lie_in_the_state_directory(directory: StateDirectory, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(directory.path)
    for path in (directory.path / "key", tmp_path / "link" / "key"):
        with pytest.raises(ConfigError, match="inside the state directory"):
            open_vault(f"file:{path}", directory)


class TestKeyFile:
    """``file:PATH``."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "keys" / "vault"

    def test_everything_is_in_path_and_siblings_and_private(self, path: Path) -> None:
        FileVault(path).store("a", SECRET)
        assert {one.name for one in path.parent.iterdir()} == {"vault", "vault.lock"}
        assert all(one.stat().st_mode & 0o777 == 0o600 for one in path.parent.iterdir())
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert set(json.loads(path.read_text())["slots"]) == {"a"}

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[]",
            "{}",
            "null",
            '{"version": 2, "slots": {}}',
            '{"version": 1, "slots": []}',
            '{"version": 1, "slots": {"a": 1}}',
            '{"version": 1, "slots": {"a": "!"}}',
            "[" * 100_000,
        ],
    )
    def test_r8_a_damaged_file_is_refused_and_kept(self, path: Path, content: str) -> None:
        FileVault(path).store("a", SECRET)
        path.write_text(content)
        for call in (lambda v: v.load("a"), lambda v: v.store("a", b"x"), lambda v: v.delete("a")):
            with pytest.raises(VaultUnavailable, match="damaged") as caught:
                call(FileVault(path))
            assert caught.value.__context__ is None
        assert path.read_text() == content

    def test_a_file_others_can_read_is_refused(self, path: Path, tmp_path: Path) -> None:
        FileVault(path).store("a", SECRET)
        path.chmod(0o640)
        with pytest.raises(VaultUnavailable, match="0640"):
            FileVault(path).load("a")
        path.chmod(0o600)
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(VaultUnavailable, match="plain file"):
            FileVault(path).load("a")

    def test_r5_a_crash_or_a_full_disk_leaves_the_old_file(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        vault = FileVault(path)
        vault.store("a", SECRET)
        path.with_name("vault.tmp").write_bytes(b"left by a crash")

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "injected")

        for call in ("write", "fsync"):
            with monkeypatch.context() as patch:
                patch.setattr(os, call, full)
                with pytest.raises(VaultUnavailable, match="ENOSPC") as caught:
                    vault.store("a", b"new")
            assert caught.value.__context__ is None
            assert vault.load("a") == SECRET
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data: 3)
            with pytest.raises(VaultUnavailable, match="ENOSPC"):
                vault.store("a", b"new")
        assert vault.load("a") == SECRET
        vault.store("a", b"new")
        assert vault.load("a") == b"new"

    def test_what_is_not_kept_is_noticed(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        vault = FileVault(path)
        monkeypatch.setattr(FileVault, "_replace", lambda *_: None)
        with pytest.raises(VaultUnavailable, match="did not keep"):
            vault.store("a", SECRET)

    def test_a_stopped_holder_of_its_lock_is_waited_for_and_then_said(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filevault, "_LOCK_S", 0.01)
        vault = FileVault(path)
        vault.store("a", SECRET)
        with try_lock(lambda: os.open(f"{path}.lock", os.O_RDWR)) or pytest.fail("free"):
            with pytest.raises(VaultUnavailable, match="locked by another program"):
                vault.store("a", b"new")
            assert vault.load("a") == SECRET, "reading needs no lock"

    def test_processes_writing_at_once_lose_nothing(self, path: Path, peer: Callable) -> None:
        script = (
            "from kalos_connect_sdk.storage.vault import FileVault\n"
            f"v = FileVault({str(path)!r})\n"
            "say('ready'); wait()\n"
            "for n in range(20): v.store(f'{os.getpid()}-{n}', b'x')\n"
            "say('done')\n"
        )
        peers = [peer(script) for _ in range(2)]
        assert [one.hear() for one in peers] == ["ready"] * 2
        for one in peers:
            one.say()
        assert [one.hear() for one in peers] == ["done"] * 2
        vault = FileVault(path)
        assert all(vault.load(f"{one.pid}-{n}") == b"x" for one in peers for n in range(20))

    def test_a_place_that_cannot_be_made_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(VaultUnavailable, match="ENOTDIR"):
            FileVault(tmp_path / "file" / "vault").store("a", SECRET)


class TestKeyring:
    """Every way in which a secret store misbehaves."""

    def test_several_matches_are_all_deleted(self, store: Store) -> None:
        store.items = [(SERVICE, "a", "x"), (SERVICE, "a", "y"), (SERVICE, "b", "eA"), ("other", "a", "z")]
        KeyringVault().delete("a")
        assert store.items == [(SERVICE, "b", "eA"), ("other", "a", "z")]

    def test_an_older_match_does_not_hide_what_is_stored(self, store: Store) -> None:
        store.items = [(SERVICE, "a", "eA")]
        vault = KeyringVault()
        vault.store("a", SECRET)
        assert vault.load("a") == SECRET
        assert len(store.items) == 1

    def test_a_store_that_swallows_or_keeps_for_ever_is_refused(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vault = KeyringVault()
        monkeypatch.setattr(store, "set_password", lambda *_: None)
        with pytest.raises(VaultUnavailable, match="did not keep"):
            vault.store("a", SECRET)
        store.items = [(SERVICE, "a", "eA")]
        monkeypatch.setattr(store, "delete_password", lambda *_: None)
        with pytest.raises(VaultUnavailable, match="did not delete"):
            vault.delete("a")

    def test_a_foreign_entry_is_refused(self, store: Store) -> None:
        store.items = [(SERVICE, "a", "not base64!")]
        with pytest.raises(VaultUnavailable, match="not one that this SDK wrote") as caught:
            KeyringVault().load("a")
        assert "base64" not in repr(caught.value)
        assert caught.value.__context__ is None

    def test_r10_the_stores_own_errors_never_escape(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def locked(*_: object) -> None:
            raise RuntimeError("CANARY and a password")

        monkeypatch.setattr(store, "get_password", locked)
        with pytest.raises(VaultUnavailable, match="RuntimeError") as caught:
            KeyringVault().load("a")
        assert "CANARY" not in repr(caught.value)
        assert (caught.value.__context__, caught.value.__cause__) == (None, None)

    def test_a_store_that_never_answers_is_given_up_and_not_asked_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keyringvault, "_TIMEOUT_S", 0.02)
        unlocked, asked = threading.Event(), []

        def asks_its_user(*_: object) -> None:
            asked.append(1)
            unlocked.wait(30)

        monkeypatch.setattr(store, "get_password", asks_its_user)
        vault = KeyringVault()
        with pytest.raises(VaultUnavailable, match="may be waiting"):
            vault.load("a")
        with pytest.raises(VaultUnavailable, match="still does not answer"):
            vault.load("a")
        assert len(asked) == 1
        unlocked.set()
        assert vault._stuck is not None
        vault._stuck.join(30)
        monkeypatch.setattr(keyringvault, "_TIMEOUT_S", 3.0)
        assert vault.load("a") is None

    def test_at_exit_no_thread_is_to_be_had(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_thread(*_: object) -> None:
            raise RuntimeError("can't create new thread at interpreter shutdown")

        monkeypatch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(VaultUnavailable, match="no thread"):
            KeyringVault().load("a")

    def test_only_a_usable_backend_on_the_list_is_used(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "priority", 0, raising=False)
        with pytest.raises(VaultUnavailable, match="NoSecretStore"):
            KeyringVault().probe()
        monkeypatch.setattr(keyringvault, "_BACKENDS", {sys.platform: (("no.such.module", "Keyring"),)})
        monkeypatch.setattr(keyringvault.importlib, "import_module", __import__)
        with pytest.raises(VaultUnavailable, match="NoSecretStore"):
            KeyringVault().load("a")
        monkeypatch.setattr(keyringvault, "_BACKENDS", {})
        with pytest.raises(VaultUnavailable, match="NoSecretStore"):
            KeyringVault().load("a")


PROBE = """
import sys
from kalos_connect_sdk.storage.vault import open_vault
from kalos_connect_sdk.errors import VaultUnavailable
vault = open_vault("keyring")
assert "keyring" not in sys.modules
try:
    print(vault.probe()); vault.store("slot", bytes(range(64)))
    assert vault.load("slot") == bytes(range(64)) and vault.load("other") is None
    EXTRA
    vault.delete("slot"); vault.delete("slot"); print(vault.load("slot"))
except VaultUnavailable as error:
    print("unavailable:", error); assert error.__context__ is None
"""
DUPLICATE = """
    import secretstorage
    from contextlib import closing
    with closing(secretstorage.dbus_init()) as bus:
        collection = secretstorage.get_default_collection(bus)
        collection.create_item("another", {"service": "kalos-connect", "username": "slot", "application": "other"}, b"eA", replace=False)
        assert len(list(collection.search_items({"service": "kalos-connect"}))) == 2
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    home.mkdir(mode=0o700, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
    return {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "DISPLAY": "", **more}


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs code in a private session bus with an unlocked gnome-keyring."""
    if not shutil.which("dbus-run-session") or not shutil.which("gnome-keyring-daemon"):
        pytest.skip("gnome-keyring and dbus-run-session are not installed")

    def run(code: str, **more: str) -> str:
        unlock = 'printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec "$0" -c "$1"'
        command = ["dbus-run-session", "--", "sh", "-c", unlock, sys.executable, code]
        env = environment(tmp_path / "home", **more)
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run


@pytest.mark.fault(43)
def test_a_real_keyring_keeps_and_deletes(desktop: Callable[..., str]) -> None:
    assert desktop(PROBE.replace("    EXTRA\n", DUPLICATE)).split() == ["SecretService", "None"]


LOCKING = """
from contextlib import closing
import secretstorage
from kalos_connect_sdk.storage.keyringvault import KeyringVault
vault = KeyringVault()
vault.store("slot", b"x")
print(vault.may_prompt)
with closing(secretstorage.dbus_init()) as bus:
    secretstorage.get_default_collection(bus).lock()
print(vault.may_prompt)
"""


@pytest.mark.fault(42)
def test_an_open_keyring_asks_nobody_and_a_locked_one_could(desktop: Callable[..., str]) -> None:
    assert desktop(LOCKING).split() == ["False", "True"]


def test_without_a_bus_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/at/all")
    assert KeyringVault().may_prompt is False


@pytest.mark.fault(41)
@pytest.mark.parametrize(
    "backend", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring", "keyrings.alt.file.PlaintextKeyring"]
)
def test_the_environment_picks_no_backend(desktop: Callable[..., str], backend: str) -> None:
    assert desktop(PROBE.replace("    EXTRA\n", ""), PYTHON_KEYRING_BACKEND=backend).split() == [
        "SecretService",
        "None",
    ]


@pytest.mark.fault(40)
@pytest.mark.parametrize("bus", ["", "unix:path=/nowhere/at/all", "nonsense"])
def test_without_a_bus_it_says_so_at_once(tmp_path: Path, bus: str) -> None:
    env = environment(
        tmp_path / "home",
        PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
        **({"DBUS_SESSION_BUS_ADDRESS": bus} if bus else {}),
    )
    done = subprocess.run(
        [sys.executable, "-c", PROBE.replace("    EXTRA\n", "")],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.startswith("unavailable: the keyring cannot be used: NoSecretStore"), done.stderr


@pytest.mark.fault(42)
def test_a_bus_that_never_answers_is_given_up(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus"))
        silent.listen()
        env = environment(tmp_path / "home", DBUS_SESSION_BUS_ADDRESS=f"unix:path={tmp_path}/bus")
        code = "from kalos_connect_sdk.storage import keyringvault; keyringvault._TIMEOUT_S = 0.3\n" + PROBE.replace(
            'assert "keyring" not in sys.modules', ""
        ).replace("    EXTRA\n", "")
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=30
        )
    assert "may be waiting for its user" in done.stdout, done.stderr
    assert done.returncode == 0, "the stuck thread does not keep the process alive"
