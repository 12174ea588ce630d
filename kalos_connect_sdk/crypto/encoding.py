"""Keys and signatures as text. The one spelling is the core's, which records use too."""

from __future__ import annotations

from ..core.encoding import b64, unb64

__all__ = ["b64", "unb64"]
