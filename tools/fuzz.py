"""Search for inputs that a parser of ours mistreats, guided by the branches they reach.

    pip install atheris
    python tools/fuzz.py gpx --seconds 300        # one target, or several; see --list
    python tools/fuzz.py all --seconds 60         # one after the other

The targets and what counts as a finding are in ``tests/fuzz``; what was found so far is in ``docs/fuzzing.md``. A
finding is written to ``crash-*`` in the working directory and makes the command exit with 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the targets one after the other, each in a process of its own, and say how often each ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="names of targets, or all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--list", action="store_true", help="print the names of the targets")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
    if args.list or not args.targets:
        from fuzz_targets import TARGETS

        print("\n".join(sorted(TARGETS)))
        return 0 if args.list else 2
    names = args.targets
    if names == ["all"]:
        from fuzz_targets import TARGETS

        names = sorted(TARGETS)
    found = 0
    for name in names:
        folders = [sys.path[0], str(Path(__file__).parent)]
        code = f"import sys; sys.path[:0] = {folders!r}; import fuzz; fuzz.search({name!r}, {args.seconds})"
        done = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-c", code], capture_output=True, text=True, errors="replace", check=False
        )
        count = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        covered = re.findall(r"cov: (\d+)", done.stderr)
        print(f"{name}: {count[1] if count else '?'} runs, {covered[-1] if covered else '?'} branches", flush=True)
        if done.returncode:
            found += 1
            print(done.stdout[-2000:] + done.stderr[-4000:])
    return 1 if found else 0


def search(name: str, seconds: int) -> None:
    """One target, in this process; the engine ends it."""
    import atheris

    with atheris.instrument_imports(include=["kalos_connect_sdk"]):
        from fuzz_mutations import NASTY_BYTES
        from fuzz_targets import TARGETS

    target = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix="kalos-corpus-") as folder:
        corpus, words = Path(folder) / "corpus", Path(folder) / "words"
        corpus.mkdir()
        for number, seed in enumerate(target.seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
        entries = [word[:60] for word in NASTY_BYTES + target.words if word]
        words.write_text("".join(map(_quoted, entries)), "ascii")
        options = [
            f"-max_total_time={seconds}",
            "-timeout=20",
            "-rss_limit_mb=1500",
            "-max_len=8192",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], str(corpus), f"-dict={words}", *options], target.run)
        atheris.Fuzz()


def _quoted(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


if __name__ == "__main__":
    raise SystemExit(main())
