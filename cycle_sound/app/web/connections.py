"""The connections to the page's server, of which the gate sees none before its first request: few, and none silent."""

import asyncio
from collections import Counter
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

MAX_OPEN = 64  # of one visitor: twice the requests that the gate lets in at once
MAX_SILENCE = 20.0  # seconds without a request


def visitor(host: str) -> str:
    """The visitor at an IP address: of IPv6 its network, of which one visitor has all addresses.

    An address of IPv4 mapped to IPv6, as some proxies write all of them, is that of IPv4.
    """
    host = host.partition("%")[0]
    if ":" not in host:
        return host
    address = IPv6Address(host)
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))


def _is_of_this_machine(host: str) -> bool:
    """Whether an IP address, perhaps mapped, is one of the machine's own that no other reaches."""
    address = ip_address(host.partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def bounded(protocol: type[Any]) -> type[Any]:
    """uvicorn's protocol of HTTP, closing the connections of those who have too many, and those without a request.

    For the former all count that come from one visitor, but from this machine none: there may be a proxy of many. The
    latter end between once and twice MAX_SILENCE after their last request was answered.
    """
    connected: Counter[str] = Counter()

    class Bounded(protocol):  # type: ignore[misc]
        _visitor: str | None = None  # where it counts
        _answered: Any = None  # the last request at the time of the check before
        _check: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            host = self.client[0] if self.client else ""
            if not (host and _is_of_this_machine(host)):
                self._visitor = visitor(host)
                connected[self._visitor] += 1
                if connected[self._visitor] > MAX_OPEN:
                    return transport.abort()
            self._check = self.loop.call_later(MAX_SILENCE, self._close_if_silent)

        def connection_lost(self, error: Exception | None) -> None:
            if self._check is not None:
                self._check.cancel()
            if self._visitor is not None:
                connected.subtract([self._visitor])
                if not connected[self._visitor]:
                    del connected[self._visitor]
            super().connection_lost(error)

        def _close_if_silent(self) -> None:
            open_request = self.cycle is not None and not self.cycle.response_complete
            if self.cycle is self._answered and not open_request:
                return self.transport.abort()
            self._answered = self.cycle
            self._check = self.loop.call_later(MAX_SILENCE, self._close_if_silent)

    return Bounded
