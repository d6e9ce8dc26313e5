"""Options of the supervisor, read from the environment: host, port, data directory, optional processes."""

import contextlib
import errno
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from digitsite import env, redis_urls
from digitsite.data_directory import data_dir

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - opt-in, so that a phone can reach the site
# A reserved address (RFC 5737). Connecting a datagram socket to it sends nothing, but shows which address of this
# machine is used to reach other networks.
UNUSED_ADDRESS = ("192.0.2.1", 9)


class StartError(Exception):
    """The site cannot start. The message states the reason and a remedy in one line."""


@dataclass(frozen=True)
class Options:
    """Validated options.

    Attributes:
        data_dir: The data directory.
        host: Numeric address to listen on.
        name: `HOST` as it was set, a name or an address.
        port: TCP port to listen on.
        with_trainer: Whether to start the training worker.
        with_redis: Whether to start the embedded Redis.
    """

    data_dir: Path
    host: str
    name: str
    port: int
    with_trainer: bool
    with_redis: bool

    @property
    def socket(self) -> Path:
        """Unix socket of the embedded Redis."""
        return redis_urls.embedded_socket(self.data_dir)

    @property
    def is_open_to_the_network(self) -> bool:
        """True if the site listens on all addresses."""
        return self.host in ANY_ADDRESS

    @property
    def url(self) -> str:
        """URL of the site on this machine."""
        return _url("127.0.0.1" if self.is_open_to_the_network else self.host, self.port)

    @property
    def network_urls(self) -> list[str]:
        """URLs of the site in the local network; empty unless it listens on all addresses."""
        return [_url(address, self.port) for address in own_addresses()] if self.is_open_to_the_network else []

    @property
    def public_addresses(self) -> list[str]:
        """Addresses at which the site is reachable from the internet without encryption; empty with HTTPS."""
        if not self.is_open_to_the_network or env.read("HTTPS"):
            return []
        return [address for address in own_addresses() if ipaddress.ip_address(address).is_global]

    def allowed_hosts(self) -> str:
        """Return the default of ALLOWED_HOSTS, which includes all names of this machine if HOST is any address."""
        hosts = ["localhost", "127.0.0.1", "[::1]"]
        if self.is_open_to_the_network:
            name = socket.gethostname()
            hosts += [_bracketed(address) for address in own_addresses()]
            hosts += [name] if "." in name else [name, f"{name}.local"]
            hosts = [host for host in hosts if re.fullmatch(env.HOST, host)]  # a host name may contain other characters
            # A public name requires an explicit HTTPS setting; an address is enough for a phone in the local network.
            public = [] if env.is_set("HTTPS") else env.public_names(hosts)
            hosts = [host for host in hosts if host not in public]
        else:
            hosts += [_bracketed(self.host), _bracketed(self.name)]
        return ",".join(dict.fromkeys(host.lower() for host in hosts))


def read() -> Options:
    """Read the options from the environment.

    Raises:
        ImproperlyConfigured: A value is invalid, or HOST is not an address of this machine.
        StartError: The port is in use.
    """
    if errors := env.find_errors():
        raise ImproperlyConfigured(errors[0])
    name: str = env.read("HOST")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    host = _resolve(name)
    port = _free_port(host, env.read("PORT"))
    return Options(
        data_dir=data_dir(),
        host=host,
        name=name,
        port=port,
        with_trainer=env.read("TRAINER"),
        with_redis=not env.is_set("REDIS_URL"),
    )


def own_addresses() -> list[str]:
    """Return this machine's IPv4 addresses except loopback, beginning with that of the default route."""
    addresses: list[str] = []
    # Without a network, both ways may fail and the list is empty.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(UNUSED_ADDRESS)
        addresses.append(probe.getsockname()[0])
    with contextlib.suppress(socket.gaierror):
        addresses += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return [address for address in dict.fromkeys(addresses) if not address.startswith(("127.", "0."))]


def _resolve(name: str) -> str:
    """Return the numeric address of `name`, which the web server requires; IPv4 is preferred."""
    try:
        entries = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # an invalid name is a UnicodeError
        entries = []
    addresses = [str(entry[4][0]) for entry in sorted(entries, key=lambda entry: entry[0] != socket.AF_INET)]
    # The web server does not support the interface of a link-local address (fe80::1%eth0).
    usable = [address for address in addresses if not ipaddress.ip_address(address).is_link_local or ":" not in address]
    if not usable:
        raise ImproperlyConfigured(f"HOST is {name!r}; write an address of this machine, or 0.0.0.0.")
    return usable[0]


def _free_port(host: str, port: int) -> int:
    """Return `port`, or a free port for 0, after checking that it can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartError(
                    f"Port {port} is taken by another program. Choose another one: make run PORT={port + 1}"
                ) from None
            if error.errno == errno.EACCES:
                raise StartError(f"Port {port} needs more rights than this account has. Try PORT=8000.") from None
            raise ImproperlyConfigured(f"HOST is {host!r}; write an address of this machine, or 0.0.0.0.") from None
        return int(probe.getsockname()[1])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _url(host: str, port: int) -> str:
    return f"http://{_bracketed(host)}:{port}/"
