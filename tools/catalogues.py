"""Keep the gettext catalogues: ``python tools/catalogues.py`` extracts, merges and compiles; needs Babel.

    python tools/catalogues.py            after a text in the code or a translation changed
    python tools/catalogues.py new sv     begin a language: translate its new .po, then run it again

Nothing is taken out of a catalogue that a person wrote, but what no longer occurs in the code.
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).resolve().parents[1] / "kalos_connect_sdk"
LOCALES = PACKAGE / "locale"
NAME = "kalos_connect"
REVIEWED = ("zh_CN",)
_NOISE = (b'"Project-Id', b'"Report-Msgid', b'"Last-Translator', b'"Language-Team', b'"Generated-By', b'"POT-', b'"PO-')
_DATE = datetime(2024, 3, 18, tzinfo=UTC)  # of the notices: what is compiled twice is the same
KEYWORDS = {"N_": None}


def template() -> Catalog:
    """Every text that the code marks with ``N_``."""
    catalog = Catalog(project="kalos-connect-sdk", charset="utf-8")
    found = extract_from_dir(PACKAGE, [("**.py", "python")], keywords=KEYWORDS)
    for file, _, text, _, context in sorted(found):
        catalog.add(text, locations=[(file, 0)], context=context)
    return catalog


def paths() -> list[Path]:
    """Every catalogue as its translator edits it."""
    return sorted(LOCALES.glob(f"*/LC_MESSAGES/{NAME}.po"))


def written(catalog: Catalog, name: str) -> bytes:
    """A catalogue as it is kept: sorted, no dates and no line numbers that change by themselves."""
    state = "Reviewed." if name in REVIEWED else "A draft that nobody has reviewed."
    catalog.header_comment = f"# The labels of kalos-connect-sdk in {name}. {state}"
    catalog.fuzzy = False
    out = io.BytesIO()
    write_po(out, catalog, width=100, sort_output=True, omit_header=False, include_lineno=False, ignore_obsolete=True)
    return b"".join(line for line in out.getvalue().splitlines(keepends=True) if not line.startswith(_NOISE))


def merged(path: Path) -> Catalog:
    """The catalogue at ``path`` with the texts of today."""
    with path.open("rb") as stream:
        catalog = read_po(stream, locale=path.parts[-3])
    catalog.update(template(), no_fuzzy_matching=True)
    catalog.creation_date = catalog.revision_date = _DATE
    return catalog


def compiled(catalog: Catalog) -> bytes:
    """The catalogue as gettext reads it."""
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def main(words: list[str]) -> None:
    if words[:1] == ["new"] and len(words) == 2:
        folder = LOCALES / words[1] / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / f"{NAME}.po").write_bytes(written(Catalog(locale=words[1], charset="utf-8"), words[1]))
    elif words:
        raise SystemExit(__doc__)
    for path in paths():
        catalog = merged(path)
        path.write_bytes(written(catalog, path.parts[-3]))
        path.with_suffix(".mo").write_bytes(compiled(catalog))
        missing = [message.id for message in catalog if message.id and not message.string]
        sys.stdout.write(f"{path.parts[-3]}: {len(catalog) - len(missing)} of {len(catalog)} translated\n")


if __name__ == "__main__":
    main(sys.argv[1:])
