"""The tests of this folder share their stand-ins; what looks for canaries is that of the margins."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path

import pytest
import trustme

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "margins"):
    sys.path.insert(0, str(folder))  # importlib mode leaves them out

# The wheels for Python 3.12 and newer hold the daemons, those for 3.11 do not.
collect_ignore = [] if sys.version_info >= (3, 12) else ["test_real_daemons.py"]


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """For servers that are called ``localhost``: a name, which counts as somebody elsewhere."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context
