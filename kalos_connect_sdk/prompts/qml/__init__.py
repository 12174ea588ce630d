"""The prompt as a QML component, for head units that draw with Qt Quick. Needs the extra ``qt``.

``import_path()`` goes into the engine's import paths; then ``import KalosConnect`` brings ``ConsentPrompt``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ...errors import ConfigError

__all__ = ["QmlPrompter", "import_path"]

if find_spec("PySide6") is None:
    raise ConfigError("the QML prompt needs the extra: pip install 'kalos-connect-sdk[qt]'")

from .prompter import QmlPrompter


def import_path() -> str:
    """The folder that holds the QML module ``KalosConnect``, for ``engine.addImportPath()``."""
    return str(Path(__file__).resolve().parent)
