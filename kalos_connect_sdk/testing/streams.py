"""One direction of one connection, read piece by piece: HTTP chunks joined, WebSocket unmasked, gzip inflated."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any, Final

from .traces import Text

__all__ = ["Stream"]

_KEPT: Final = 256
_GZIP: Final = b"\x1f\x8b\x08"
_ZLIB: Final = re.compile(rb"\A\x78[\x01\x5e\x9c\xda]")
_PIECE: Final = 1 << 20
_METHOD: Final = re.compile(rb"[A-Z]{3,10} \S")
_LONGEST_HEAD: Final = 1 << 16
_CHUNKED: Final = re.compile(rb"\ntransfer-encoding:[^\r\n]*chunked", re.I)
_WEBSOCKET: Final = re.compile(rb"\nupgrade:[ \t]*websocket", re.I)
_LENGTH: Final = re.compile(rb"\ncontent-length:[ \t]*(\d{1,12})", re.I)
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,8})[^\r\n]{0,100}\r\n")


class Stream:
    """What to search after each piece; text that was searched before comes along as context."""

    def __init__(self) -> None:
        self._plain = b""
        self._body = b""
        self._framing = _Framing()
        self._inflation = _Inflation()

    def copy(self) -> Stream:
        """The same state, to read ahead with."""
        other = Stream()
        other._plain, other._body = self._plain, self._body
        other._framing, other._inflation = self._framing.copy(), self._inflation.copy()
        return other

    def read(self, data: bytes) -> Iterator[Text]:
        """The texts to search after ``data``: as it is, without its framing, and without its compression."""
        text = self._plain + data
        yield text, len(self._plain)
        self._plain = text[-_KEPT:]
        for piece, begins, framed in self._framing.read(data):
            if framed:
                text = self._body + piece
                yield text, len(self._body)
                self._body = text[-_KEPT:]
            yield from self._inflation.read(piece, begins)


class _Inflation:
    """Gzip anywhere, and zlib at the beginning of a body."""

    def __init__(self) -> None:
        self._before = b""
        self._text = b""
        self._first: bytes | None = None
        self._inflater: Any = None

    def copy(self) -> _Inflation:
        other = _Inflation()
        other._before, other._text, other._first = self._before, self._text, self._first
        other._inflater = self._inflater.copy() if self._inflater is not None else None
        return other

    def read(self, data: bytes, begins: bool) -> Iterator[Text]:
        if begins:
            self._inflater, self._before, self._first = None, b"", b""
        if self._first is not None:
            data, self._first = self._first + data, None
            if len(data) < 2:
                self._first = data
                return
            if _ZLIB.match(data):
                self._begin()
        while data:
            if self._inflater is None:
                joined = self._before + data
                at = joined.find(_GZIP)
                if at < 0:
                    self._before = joined[-(len(_GZIP) - 1) :]
                    return
                data = joined[at:]
                self._begin()
            data, texts = self._inflate(data)
            yield from texts

    def _begin(self) -> None:
        self._before, self._text = b"", b""
        self._inflater = zlib.decompressobj(47)

    def _inflate(self, data: bytes) -> tuple[bytes, list[Text]]:
        """(what follows the compressed body, what was in it)."""
        texts: list[Text] = []
        while data:
            try:
                piece = self._inflater.decompress(data, _PIECE)
            except zlib.error:  # it only looked like it
                self._inflater = None
                return data[1:], texts
            text = self._text + piece
            texts.append((text, len(self._text)))
            self._text = text[-_KEPT:]
            if self._inflater.eof:
                rest: bytes = self._inflater.unused_data
                self._inflater = None
                return rest, texts
            data = self._inflater.unconsumed_tail
        return b"", texts


class _Framing:
    """HTTP/1.1 and WebSocket framing of what a client sends. What is neither is passed on as it is."""

    def __init__(self) -> None:
        self._mode = "head"
        self._kept = b""
        self._left = 0
        self._mask = b""
        self._masked = 0
        self._deflated = self._final = False
        self._messages: Any = None

    def copy(self) -> _Framing:
        other = _Framing()
        other.__dict__.update(self.__dict__)
        if self._messages is not None:
            other._messages = self._messages.copy()
        return other

    def read(self, data: bytes) -> Iterator[tuple[bytes, bool, bool]]:
        """Pieces of bodies: the bytes, whether a body begins with them, whether framing was taken off."""
        data, self._kept = self._kept + data, b""
        while data:
            before = (self._mode, len(data), self._left)
            if self._mode == "raw":
                yield data, False, False
                return
            if self._mode == "head":
                data = self._head(data)
            elif self._mode == "chunk size":
                data = self._chunk_size(data)
            elif self._mode == "frame":
                data = self._frame(data)
            else:
                piece, data = data[: self._left], data[self._left :]
                begins = self._mode in ("body begins", "chunk begins")
                self._left -= len(piece)
                yield from self._payload(piece, begins)
            if before == (self._mode, len(data), self._left) and data:
                self._kept = data  # more is needed
                return

    def _head(self, data: bytes) -> bytes:
        if not _METHOD.match(data[:12]) and len(data) >= 12:
            self._mode = "raw"
            return data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _LONGEST_HEAD:
                self._mode = "raw"
            return data
        head = data[: end + 2]
        length = _LENGTH.search(head)
        if _CHUNKED.search(head):
            self._mode, self._final = "chunk size", True
        elif _WEBSOCKET.search(head):
            self._mode = "frame"
        elif length and int(length[1]):
            self._mode, self._left = "body begins", int(length[1])
        return data[end + 4 :]

    def _chunk_size(self, data: bytes) -> bytes:
        data = data.removeprefix(b"\r\n") if not self._final else data
        match = _CHUNK.match(data)
        if match is None:
            if len(data) > 120:
                self._mode = "raw"
            return data
        self._left = int(match[1], 16)
        if not self._left:
            self._mode = "head"
            return data[match.end() :].removeprefix(b"\r\n")
        self._mode, self._final = ("chunk begins" if self._final else "chunk"), False
        return data[match.end() :]

    def _payload(self, piece: bytes, begins: bool) -> Iterator[tuple[bytes, bool, bool]]:
        mode = self._mode
        if mode in ("body begins", "body"):
            self._mode = "body" if self._left else "head"
            yield piece, begins, False
        elif mode in ("chunk begins", "chunk"):
            self._mode = "chunk" if self._left else "chunk size"
            yield piece, begins, True
        else:
            if not self._left:
                self._mode = "frame"
            clear = self._unmasked(piece)
            yield self._inflated(clear, not self._left and self._final) if self._deflated else clear, False, True

    # -- WebSocket -------------------------------------------------------------------------------

    def _frame(self, data: bytes) -> bytes:
        """The header of a frame, RFC 6455; continuation frames keep the compression of their message."""
        if len(data) < 2:
            return data
        short = data[1] & 127
        wide = {126: 2, 127: 8}.get(short, 0)
        size = 2 + wide + (4 if data[1] & 128 else 0)
        if len(data) < size:
            return data
        self._left = int.from_bytes(data[2 : 2 + wide], "big") if wide else short
        self._mask, self._masked = data[2 + wide : size], 0
        self._final = bool(data[0] & 128)
        if data[0] & 15 in (1, 2):
            self._deflated = bool(data[0] & 64)
        self._mode = "frame" if not self._left else "payload"
        return data[size:]

    def _unmasked(self, piece: bytes) -> bytes:
        if not self._mask:
            return piece
        turned = self._mask[self._masked % 4 :] + self._mask[: self._masked % 4]
        self._masked += len(piece)
        key = (turned * (len(piece) // 4 + 1))[: len(piece)]
        return (int.from_bytes(piece, "big") ^ int.from_bytes(key, "big")).to_bytes(len(piece), "big")

    def _inflated(self, piece: bytes, ends: bool) -> bytes:
        if self._messages is None:
            self._messages = zlib.decompressobj(-15)
        try:
            text: bytes = self._messages.decompress(piece + (b"\0\0\xff\xff" if ends else b""), _PIECE)
        except zlib.error:  # not deflate after all
            self._messages = None
            return b""
        return text
