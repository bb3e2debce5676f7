"""Requests that cannot be led into the private network.

The name is resolved once, every address it has is checked, and the connection goes to the checked address itself: a
name server that answers differently a second time changes nothing. Redirects are new requests, so they are checked too.
"""

from __future__ import annotations

import ipaddress
import socket

import httpx

_EMBEDDING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class CheckedTransport(httpx.BaseTransport):
    """An HTTP transport that connects only to public addresses, or to any if `allow_private`."""

    def __init__(self, *, allow_private: bool) -> None:
        self.allow_private = allow_private
        # No connection is kept: they would be found again by address, under another host's certificate.
        self._inner = httpx.HTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises `httpx.ConnectError` when the host is unknown or its address is refused."""
        host = request.url.host
        address = self._checked_address(host, request)
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # holds the Host header of the name
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},  # the certificate must be the name's
        )
        return self._inner.handle_request(pinned)

    def close(self) -> None:
        self._inner.close()

    def _checked_address(self, host: str, request: httpx.Request) -> str:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(f"the host {host!r} is not known", request=request) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not self.allow_private and not is_public(address):
                raise httpx.ConnectError(
                    f"{host} has the address {address}, which is not public; see allow_private", request=request
                )
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet; addresses that wrap another are judged by the inner one too.

    >>> [is_public(a) for a in ("93.184.216.34", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False, False]
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if any(parsed in network for network in _EMBEDDING):
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast
