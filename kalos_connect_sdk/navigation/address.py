"""Who a provider is: where it answers, who runs it, and in which country (R2, R14, R16)."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..config import is_loopback, origin_of
from ..errors import ConfigError

__all__ = ["checked"]

_NAME_MAX = 200


def checked(url: object, recipient: object, region: object) -> tuple[str, str, str | None]:
    """The three as they are used: the URL without a slash at its end, the region in capitals.

    Raises :class:`ConfigError` with one sentence that says what to write instead.
    """
    where = _url(url)
    if not isinstance(recipient, str) or not recipient.isprintable() or len(recipient) > _NAME_MAX:
        raise ConfigError(f"recipient must be printable text of at most {_NAME_MAX} characters")
    if not recipient.strip() and not is_loopback(where):
        raise ConfigError(
            "recipient must say who runs the provider, with the name that the notice's recipients give it"
        )
    if region is None:
        return where, recipient, None
    if not isinstance(region, str) or not (len(region) == 2 and region.isascii() and region.isalpha()):
        raise ConfigError("region must be an ISO 3166 code of two letters, such as CN, or None")
    return where, recipient, region.upper()


def _url(url: object) -> str:
    plain = isinstance(url, str) and url.isascii() and url.isprintable() and not set(url) & set(" \\")
    if plain:
        try:
            origin_of(str(url))
        except ConfigError:
            plain = False
    if not plain:
        raise ConfigError(
            "the provider's url must look like https://host[:port] or http://127.0.0.1:port, without user name, query"
            " or fragment"
        )
    if urlsplit(str(url)).scheme == "http" and not is_loopback(str(url)):
        raise ConfigError(
            "the provider's url uses plain http off loopback; write https://, or http:// with a literal loopback"
            " address such as http://127.0.0.1:8002"
        )
    return str(url).rstrip("/")
