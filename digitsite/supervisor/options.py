"""What `make run` can be told, read from the environment and checked: where, which port, which data folder."""

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

ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - asked for by name, so that a phone can reach the site
# An address nobody owns (RFC 5737): connecting a datagram socket to it sends nothing, but shows which of this
# machine's own addresses the network would be reached from.
ELSEWHERE = ("192.0.2.1", 9)


class StartError(Exception):
    """The site cannot start; the message is the one line that says why and what to do."""


@dataclass(frozen=True)
class Options:
    """What the supervisor was told.

    Attributes:
        host: the numeric address to listen on.
        name: `HOST` as it was written, a name or an address.
    """

    data_dir: Path
    host: str
    name: str
    port: int
    with_trainer: bool
    with_redis: bool

    @property
    def socket(self) -> Path:
        return redis_urls.embedded_socket(self.data_dir)

    @property
    def is_open_to_the_network(self) -> bool:
        return self.host in ANY_ADDRESS

    @property
    def url(self) -> str:
        """The address to open on this machine."""
        return _url("127.0.0.1" if self.is_open_to_the_network else self.host, self.port)

    @property
    def network_urls(self) -> list[str]:
        """The addresses to open on a phone in the same network; none unless HOST says so."""
        return [_url(address, self.port) for address in own_addresses()] if self.is_open_to_the_network else []

    @property
    def public_addresses(self) -> list[str]:
        """Addresses under which the internet reaches the site without encryption; none behind a proxy with HTTPS."""
        if not self.is_open_to_the_network or env.boolean("HTTPS", False):
            return []
        return [address for address in own_addresses() if ipaddress.ip_address(address).is_global]

    def allowed_hosts(self) -> str:
        """The default of ALLOWED_HOSTS: everything this machine is called, where the site is open to the network."""
        hosts = ["localhost", "127.0.0.1", "[::1]"]
        if self.is_open_to_the_network:
            name = socket.gethostname()
            hosts += [_bracketed(address) for address in own_addresses()]
            hosts += [name] if "." in name else [name, f"{name}.local"]
            hosts = [host for host in hosts if re.fullmatch(env.HOST, host)]  # a machine may be called anything
            # Whoever wants to be reached by a public name says how (HTTPS); a phone at home does with an address.
            public = [] if env.text("HTTPS") else env.public_names(hosts)
            hosts = [host for host in hosts if host not in public]
        else:
            hosts += [_bracketed(self.host), _bracketed(self.name)]
        return ",".join(dict.fromkeys(host.lower() for host in hosts))


def read() -> Options:
    """Read the environment.

    Raises:
        ImproperlyConfigured: a value makes no sense.
        StartError: the port is taken, or HOST is no address of this machine.
    """
    name = env.text("HOST") or "127.0.0.1"
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    host = _resolve(name)
    port = _free_port(host, env.integer("PORT", 8000, maximum=65535))
    return Options(
        data_dir=data_dir(),
        host=host,
        name=name,
        port=port,
        with_trainer=env.boolean("TRAINER", True),
        with_redis=not env.text("REDIS_URL"),
    )


def own_addresses() -> list[str]:
    """This machine's addresses in its networks, loopback left out; the one that reaches the world comes first."""
    found: list[str] = []
    # Without any network both ways may fail, and there is nothing to be found.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(ELSEWHERE)
        found.append(probe.getsockname()[0])
    with contextlib.suppress(socket.gaierror):
        found += [entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    return [address for address in dict.fromkeys(found) if not address.startswith(("127.", "0."))]


def _resolve(name: str) -> str:
    """Return the numeric address of `name`, the only form that the web server takes; IPv4 where there are both."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a name that is none is not even looked up
        found = []
    addresses = [str(entry[4][0]) for entry in sorted(found, key=lambda entry: entry[0] != socket.AF_INET)]
    # Of a link-local address (fe80::1%eth0) the web server does not understand the interface.
    usable = [address for address in addresses if not ipaddress.ip_address(address).is_link_local or ":" not in address]
    if not usable:
        raise ImproperlyConfigured(f"HOST is {name!r}; write an address of this machine, or 0.0.0.0.")
    return usable[0]


def _free_port(host: str, port: int) -> int:
    """`port`, or a free one for 0, after making sure that nobody listens there."""
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
        return probe.getsockname()[1]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _url(host: str, port: int) -> str:
    return f"http://{_bracketed(host)}:{port}/"
