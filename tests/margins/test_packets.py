"""What a capture of the loopback device sees: the canary before a withdrawal, and no byte of a payload after it but the
notice's (R3). The kernel's own view, not the service's."""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass

import pytest
import trustme
from canaries import HERE, LATITUDE, LONGITUDE, Canaries
from hostile_service import HostileService

from kalos_connect_sdk import ConsentRequired, KalosConnectError, Position

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33


@dataclass(frozen=True)
class Packet:
    """One TCP segment with a payload, as it left."""

    at: float
    source: int
    target: int
    payload: bytes


class Capture:
    """Every TCP segment with a payload that leaves over loopback towards ``port``, or through a link to it."""

    def __init__(self, port: int) -> None:
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        except (AttributeError, PermissionError):
            pytest.skip("capturing packets takes CAP_NET_RAW")
        self._socket.bind(("lo", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self._port = port
        self.packets: list[Packet] = []
        self._marks = threading.Semaphore(0)
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            frame, address = self._socket.recvfrom(1 << 17)
            if address[2] != socket.PACKET_OUTGOING or address[1] != 0x0800 or frame[23] not in (6, 17):
                continue  # loopback shows everything twice; IPv4, TCP, and the mark below
            head = 14 + (frame[14] & 15) * 4
            source, target = struct.unpack_from("!HH", frame, head)
            if frame[23] == 17:
                if frame[head + 8 :] == self._word:
                    self._marks.release()
                continue
            end = 14 + int.from_bytes(frame[16:18], "big")
            payload = frame[head + (frame[head + 12] >> 4) * 4 : end]
            if payload and target == self._port:
                self.packets.append(Packet(time.monotonic(), source, target, payload))

    def _mark(self) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        ):
            sink.bind(("127.0.0.1", 0))
            out.sendto(self._word, sink.getsockname())

    _word = b"mark %d" % os.getpid()

    def sync(self) -> int:
        """Everything sent before this call is in ``packets`` afterwards: a datagram of ours was seen. Their number."""
        self._mark()
        assert self._marks.acquire(timeout=30), "the capture is dead"
        return len(self.packets)

    def close(self) -> None:
        self._closing = True
        self._mark()
        self._thread.join(30)
        self._socket.close()


@pytest.fixture
def capture():
    opened: list[Capture] = []

    def begin(port: int) -> Capture:
        opened.append(Capture(port))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def busy(connect, threads: int, warm: threading.Semaphore) -> list[threading.Thread]:
    def work(number: int) -> None:
        try:
            for count in range(10**6):
                connect.submit(Position(LATITUDE, LONGITUDE + (number * 100 + count % 100) * 1e-6))
                if count % 5 == 4:
                    connect.flush()
                if count == 50:
                    warm.release()
        except (ConsentRequired, KalosConnectError):
            pass

    started = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    return started


@pytest.mark.once
@pytest.mark.fault(22)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_r3_after_withdraw_returned_a_capture_sees_the_notice_and_nothing_else(make, tmp_path, capture, tls):
    context, settings = None, {}
    if tls:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        settings["ca_bundle"] = str(tmp_path / "ca.pem")
    canaries = Canaries(HERE)
    with HostileService(context, encodings=("identity",)) as service:
        seen = capture(service.port)
        connect = make(settings={"service_url": service.url, **settings})
        assert connect.request_permission(user_action=True).granted
        warm = threading.Semaphore(0)
        threads = busy(connect, 4, warm)
        for _ in threads:
            assert warm.acquire(timeout=60)
        report = connect.withdraw()
        returned = seen.sync()
        assert report.complete
        before = seen.packets[:returned]
        for thread in threads:
            thread.join(30)
        assert connect.wait_for_notices(30)
        seen.sync()
        after = seen.packets[returned:]
        notices = [head for head, _ in service.heard if b"/withdrawals" in head.splitlines()[0]]
        assert len(notices) == 1
        sent = [head for head, _ in service.heard if b"/positions" in head.splitlines()[0]]
        assert len(sent) >= 20 and len(before) >= 20, "they were busy"
        if not tls:  # the control: the capture sees what leaves
            assert canaries.found_in(b"".join(packet.payload for packet in before))
            told = b"".join(packet.payload for packet in seen.packets)
            assert canaries.found_in(b"".join(packet.payload for packet in after)) == []
            assert len(re.findall(rb"POST /v1/consents/\w+/withdrawals ", told)) == 1
        lines = {packet.source for packet in after}
        assert len(lines) <= 1, "what leaves after the return goes one way: the notice's"
        assert sum(len(packet.payload) for packet in after) < (3500 if tls else 1500), "no more than a notice takes"
        for packet in after:  # and it is the notice
            assert tls or packet.payload.startswith((b"POST /v1/consents/", b"{"))
