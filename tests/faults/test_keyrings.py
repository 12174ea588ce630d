"""Secret stores that misbehave, for real: no bus, locked with nobody to answer, killed, the wrong backend (R9, R11).

Each runs a whole program in a private session bus with a real gnome-keyring; the program says what it sees.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kalos_connect_sdk.model.consent import Purpose
from kalos_connect_sdk.storage.datakeys import DataKeys
from kalos_connect_sdk.storage.directory import StateDirectory
from kalos_connect_sdk.storage.kernelkeys import KernelKeyring
from kalos_connect_sdk.testing import ServiceEmulator

ROOT = Path(__file__).resolve().parents[2]
APP = "com.example.test"
PROGRAM = r"""
import os, signal, subprocess, sys, threading, time
from contextlib import closing
from kalos_connect_sdk import AssertedParked, Config, Connect, ConsentRequired, Duration, Position, PromptAnswer
from kalos_connect_sdk.storage import keyringvault
from kalos_connect_sdk.testing import ScriptedPrompter
def make():
    return Connect("com.example.test", vehicle=AssertedParked("a test bench"),
        config=Config(state_dir=sys.argv[1], vault="keyring", service_url=sys.argv[2], timeout_s=5),
        prompter=ScriptedPrompter(PromptAnswer.allow(Duration.days(7))))
def say(*words): print(*words, flush=True)
def vault_row(connect): return next(row for row in connect.doctor() if row["name"] == "vault")
def lock():  # and a prompter that never answers
    import secretstorage
    from jeepney import message_bus
    from jeepney.io.blocking import open_dbus_connection
    bus = open_dbus_connection("SESSION")
    bus.send_and_get_reply(message_bus.RequestName("org.gnome.keyring.SystemPrompter"))
    with closing(secretstorage.dbus_init()) as other:
        secretstorage.get_default_collection(other).lock()
    return bus
"""


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """Runs a program in a private session bus with an unlocked gnome-keyring; ``bus=False``: without either."""
    if not shutil.which("dbus-run-session") or not shutil.which("gnome-keyring-daemon"):
        pytest.skip("gnome-keyring and dbus-run-session are not installed")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    with ServiceEmulator() as service:

        def run(code: str, *, bus: bool = True, **more: str) -> list[str]:
            kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LD_LIBRARY_PATH")}
            env = {**kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "DISPLAY": "", **more}
            command = [sys.executable, "-c", PROGRAM + code, str(tmp_path / "state"), service.url]
            if bus:
                unlock = 'printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec "$@"'
                command = ["dbus-run-session", "--", "sh", "-c", unlock, "sh", *command]
            done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=100)
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()

        yield run
    if (tmp_path / "state").exists():
        DataKeys.choose(StateDirectory.open(APP, None, str(tmp_path / "state")), None).remove()


FOR_THIS_RUN = """
connect = make()
say(connect.request_permission(user_action=True).granted)
row = vault_row(connect); say(row["ok"], "this run" in row["advice"])
connect.submit(Position(60.17, 24.94)); say(connect.flush().sent)
report = connect.withdraw(); say(report.complete, report.durable)
connect.request_permission(user_action=True); connect.close()
"""
NEXT_RUN = "p = make().permission(); say(p.granted, p.reason.name)"


@pytest.mark.once
@pytest.mark.fault(40)
def test_r9_without_a_keyring_consent_lasts_for_this_run_and_says_so(desktop: Callable[..., list[str]]) -> None:
    assert desktop(FOR_THIS_RUN, bus=False) == ["True", "False True", "1", "True True"]
    assert desktop(NEXT_RUN, bus=False) == ["False EXPIRED"], "the run is over, and its consent with it"


BACKENDS = {
    "plaintext": "keyrings.alt.file.PlaintextKeyring",
    "null": "keyring.backends.null.Keyring",
    "fail": "keyring.backends.fail.Keyring",
}
PLAINTEXT = '''
from keyring.backend import KeyringBackend
class PlaintextKeyring(KeyringBackend):
    """Stands for keyrings.alt: the highest priority of all, and everything in a file."""
    priority = 99
    def set_password(self, service, name, text): open(__file__ + ".leak", "a").write(text)
    def get_password(self, service, name): return None
    def delete_password(self, service, name): pass
'''


@pytest.mark.once
@pytest.mark.fault(41)
@pytest.mark.parametrize("how", ["environment", "configuration"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_r9_a_backend_that_is_not_on_the_list_is_never_used(
    desktop: Callable[..., list[str]], tmp_path: Path, backend: str, how: str
) -> None:
    """Installed, chosen by the environment or by keyring's own configuration: it gets no secret."""
    package = tmp_path / "site" / "keyrings" / "alt"
    package.mkdir(parents=True)
    (package / "file.py").write_text(PLAINTEXT)
    more = {"PYTHONPATH": str(tmp_path / "site")}
    if how == "environment":
        more["PYTHON_KEYRING_BACKEND"] = BACKENDS[backend]
    else:
        for folder in (".config/python_keyring", ".local/share/python_keyring"):
            (tmp_path / "home" / folder).mkdir(parents=True)
            (tmp_path / "home" / folder / "keyringrc.cfg").write_text(
                f"[backend]\ndefault-keyring={BACKENDS[backend]}\nkeyring-path={tmp_path / 'site'}\n"
            )
    assert desktop(FOR_THIS_RUN, bus=False, **more)[:2] == ["True", "False True"]
    assert not list(package.glob("*.leak")), "a secret was given to it"


LOCKED = """
connect = make()
say(connect.request_permission(user_action=True).granted, vault_row(connect)["ok"])
connect.submit(Position(60.17, 24.94)); connect.close()
bus = lock()
connect = make()
permission = connect.permission(); say(permission.granted, permission.reason.name)
try: connect.submit(Position(60.17, 24.94)); say("accepted")
except ConsentRequired as error: say(error.reason.name)
say(any(row["advice"] for row in connect.doctor() if not row["ok"]))
before = [t for t in threading.enumerate() if t.name == "kalos-keyring"]
report = connect.withdraw(); say(report.complete, report.durable, report.remaining, report.elapsed_s < 5.0)
say(connect.permission().granted); connect.close()
"""


@pytest.mark.once
@pytest.mark.fault(42)
def test_r11_a_locked_keyring_whose_prompt_nobody_answers_delays_no_withdrawal(
    desktop: Callable[..., list[str]],
) -> None:
    assert desktop(LOCKED) == [
        "True True",
        "False VAULT_UNAVAILABLE",
        "VAULT_UNAVAILABLE",
        "True",
        "True True () True",
        "False",
    ]


KILLED = """
connect = make()
say(connect.request_permission(user_action=True).granted)
import secretstorage
from jeepney import DBusAddress, new_method_call
with closing(secretstorage.dbus_init()) as bus:
    daemon = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
    pid = bus.send_and_get_reply(new_method_call(daemon, "GetConnectionUnixProcessID", "s", ("org.freedesktop.secrets",))).body[0]
os.kill(pid, signal.SIGKILL)
connect.submit(Position(60.17, 24.94)); say(connect.flush().sent, "what was read once is enough")
report = connect.withdraw(); say(report.complete, report.durable)
connect.close()
permission = make().permission(); say(permission.granted, permission.reason.name)
"""


@pytest.mark.once
@pytest.mark.fault(42)
def test_r11_a_keyring_killed_while_in_use_delays_no_withdrawal(desktop: Callable[..., list[str]]) -> None:
    assert desktop(KILLED) == ["True", "1 what was read once is enough", "True True", "False WITHDRAWN"]


STUBBORN = """
from kalos_connect_sdk.errors import VaultUnavailable
import secretstorage
vault = keyringvault.KeyringVault()
vault.store("slot", b"secret")
with closing(secretstorage.dbus_init()) as bus:
    collection = secretstorage.get_default_collection(bus)
    for n in range(3):
        collection.create_item(f"another {n}", {"service": "kalos-connect", "username": "slot", "application": f"other {n}"}, b"eA", replace=False)
    say(len(list(collection.search_items({"service": "kalos-connect"}))))
    vault.delete("slot")
    say(len(list(collection.search_items({"service": "kalos-connect"}))), vault.load("slot"))
    from keyring.backends.SecretService import Keyring
    vault.store("slot", b"secret")
    Keyring.delete_password = lambda self, service, name: None  # "succeeds", and the entry stays
    try: vault.delete("slot"); say("believed")
    except VaultUnavailable as error: say(error)
"""


@pytest.mark.once
@pytest.mark.fault(43)
def test_r4_entries_are_deleted_until_none_is_left_and_a_deletion_is_not_believed(
    desktop: Callable[..., list[str]],
) -> None:
    assert desktop(STUBBORN) == ["4", "0 None", "the keyring did not delete its entry"]


# -- the kernel's keyring ------------------------------------------------------------------------

kernel = pytest.mark.skipif(not KernelKeyring().works(), reason="the kernel keyring is not available here")


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[DataKeys]:
    found = DataKeys.choose(StateDirectory.open(APP, None, str(tmp_path / "state")), "kernel")
    yield found
    found.remove()


@kernel
@pytest.mark.fault(43, 44)
def test_r4_a_destroyed_key_is_read_back_and_gone_from_the_kernel(keys: DataKeys) -> None:
    key = keys.make(1, 1).key
    assert key is not None
    assert keys.destroy(1)
    blob = keys._place.read()
    assert blob is not None and key not in blob, "the counters stay, the key does not"


@kernel
@pytest.mark.fault(43)
def test_r4_a_key_that_cannot_be_overwritten_is_not_called_gone(
    keys: DataKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.make(1, 1)
    monkeypatch.setattr(type(keys._place), "write", lambda *_, **__: None)  # a kernel that keeps what it had
    assert keys.destroy(1) is False


@kernel
@pytest.mark.once
@pytest.mark.fault(9)
def test_r4_a_full_quota_is_a_failure_with_its_word_and_another_place_is_chosen() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user, whose quota is its own")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            os.setgid(61234)
            os.setuid(61234)
            from kalos_connect_sdk.storage import kernelkeys
            from kalos_connect_sdk.storage.failure import StorageFailure

            kernelkeys._works.cache_clear()
            ring, made = KernelKeyring(), []
            try:
                for number in range(1000):
                    made.append(ring.put(f"kalos-connect:quota:{number}", b"x" * 97))
            except StorageFailure as error:
                said = f"{str(error).rpartition(' ')[2]} {len(made) > 10} {ring.works()}"
            for serial in made:
                ring.remove(serial)
            kernelkeys._works.cache_clear()
            said += f" {ring.works()}"
        except BaseException as error:
            said = type(error).__name__
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read().decode() == "EDQUOT True False True"
    os.waitpid(child, 0)


@kernel
@pytest.mark.fault(44)
def test_r4_a_revoked_key_is_absent_and_counts_as_gone(keys: DataKeys) -> None:
    from kalos_connect_sdk.storage import kernelkeys

    keys.make(3, 1)
    keys.raise_counter(Purpose.NAVIGATION, 2)
    ring = KernelKeyring()
    serial = ring.search(keys._place._description)
    assert serial is not None
    kernelkeys._keyctl(kernelkeys._REVOKE, serial)
    assert keys.read() is None and keys.destroy(3)
    assert keys.make(4, 1).key is not None, "another can be made"
