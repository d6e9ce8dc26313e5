"""Network addresses as accounting keys."""

import ipaddress
from functools import lru_cache

from django.conf import settings

# The prefix that one customer of a provider gets. https://www.rfc-editor.org/rfc/rfc6177
IPV6_PREFIX = 64
# The key of every address that cannot be parsed: those callers share one limit.
UNKNOWN_NETWORK = "unknown"

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@lru_cache(1000)
def rate_key(address: str) -> str:
    """Return the network under which a caller's use of the site is counted.

    Loopback is a network like any other here; a limit that exempts it calls `is_loopback`.

    Args:
        address: an IPv4 or IPv6 address in text form, without a port.

    Returns:
        The address itself for IPv4, including IPv4-mapped IPv6; the /64 for other IPv6 addresses; `UNKNOWN_NETWORK` for
        anything else, for example the empty address of a unix socket.
    """
    parsed = _parse(address)
    if parsed is None:
        return UNKNOWN_NETWORK
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((int(parsed), IPV6_PREFIX), strict=False))


def is_loopback(address: str) -> bool:
    """Return whether the address is a loopback address."""
    parsed = _parse(address)
    return parsed is not None and parsed.is_loopback


def network_of(address: str) -> str:
    """Return the network under which rates and quotas count this address, or "" if it is not counted.

    Commands have no address and are not counted. Without BEHIND_PROXY loopback and local sockets are not counted
    either: those are the operator's own programs, or a proxy that is missing in the settings, behind which all clients
    have the same address.
    """
    network = rate_key(address)
    if settings.BEHIND_PROXY:
        return network if address else ""
    return "" if network == UNKNOWN_NETWORK or is_loopback(address) else network


def _parse(address: str) -> IPAddress | None:
    """Return the address, IPv4-mapped IPv6 as IPv4, or None if the text is not an address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
