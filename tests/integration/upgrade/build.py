"""Build the fixture of an upgrade with the code of the release it comes from: run once for each release.

    python -m tests.integration.upgrade.build

Checks commit 07961fc out of git into a temporary folder, starts its sites on SQLite and PostgreSQL as `make run`
does, fills them (fill_0_9_0.py), trains there, makes backups, and packs all of it into
tests/integration/upgrade/0.9.0. It needs what that release requires (its requirements.txt), PostgreSQL with
`pg_dump`, and MNIST. CI only reads the result.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digitsite.testing import postgresql
from digitsite.testing.supervised import Supervised
from tests.integration.upgrade import archive

BASE_DIR = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
RELEASE, COMMIT = "0.9.0", "07961fc"
TARGET = HERE / RELEASE
ENGINES = ("sqlite", "postgresql")
MODEL_FILES = ("my_model.keras", "model.bundle")
SETTINGS = {"RETRAIN_SCHEDULE": "off", "RETRAIN_AFTER_LABELS": "0", "HTTPS": "0", "TRAINING_THREADS": "2"}
# Files of a stopped site that are none of its data.
LEFT_OUT = ("redis.sock", "static", ".lock")
# Weights with 8 significant bits instead of 24 are as good here, and half as large once they are compressed.
ROUNDED = """
    return [
        np.frombuffer((np.asarray(weights, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).tobytes(), np.float32)
        .reshape(np.shape(weights)) for weights in mixed
    ]
"""
MIXED = "    return [along * new + (1 - along) * old for old, new in zip(before, after, strict=True)]\n"


# As `ml.bundle` of that release writes the shipped model under another name: what an upgrade of the base looks like.
RENAME_BASE = """
from dataclasses import replace
from pathlib import Path
from ml import bundle as bundles
path = Path("ml/base/model.bundle")
bundle = bundles.read(path.read_bytes())
path.write_bytes(bundles.write(bundle.model, replace(bundle.manifest, recipe="upgraded")))
"""


def main() -> None:
    postgresql.announce()
    files: dict[str, bytes] = {}
    folder = Path(tempfile.mkdtemp(prefix="digits-upgrade-"))
    print(f"building in {folder}, which stays where something fails")
    for engine in ENGINES:
        site = _Old(folder / engine, engine)
        site.build()
        files |= {f"{engine}/{name}": data for name, data in site.files()}
    base = [(folder / "sqlite" / "base" / name).read_bytes() for name in MODEL_FILES]
    models = {name: data for name, data in files.items() if name.startswith("sqlite/models/")}
    TARGET.mkdir(exist_ok=True)
    for name, data in zip(MODEL_FILES, base, strict=True):
        (TARGET / name).write_bytes(data)
    packed_models = archive.pack(models, base)
    (TARGET / "models.xz").write_bytes(packed_models)
    rest = {name: data for name, data in files.items() if "/models/" not in name}
    packed = archive.pack(rest, [*base, *models.values()])
    (TARGET / "sites.xz").write_bytes(packed)
    sizes = len(packed_models) / 1e6, len(packed) / 1e6
    print(f"{len(files)} files, {sum(map(len, files.values())) / 1e6:.1f} MB; models.xz {sizes[0]:.2f} MB, "
          f"sites.xz {sizes[1]:.2f} MB")  # fmt: skip
    shutil.rmtree(folder)


class _Old:
    """A site that runs the release's own code."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.engine = engine
        self.code, self.data, self.facts = folder / "code", folder / "data", folder / "facts.json"
        self.backup = folder / "backup.tar"
        self.settings = SETTINGS | {"DATA_DIR": str(self.data)}
        if engine == "postgresql":
            postgresql.create_empty("upgrade_fixture")
            self.settings["DATABASE_URL"] = postgresql.url("upgrade_fixture")

    def build(self) -> None:
        _checkout(self.code)
        with self._running(TRAINER="1"):
            self._python("fill_0_9_0.py", "people", str(self.facts))
            print(self._python("manage.py", "retrain", "--wait"))
        shutil.copytree(self.code / "ml" / "base", self.data.with_name("base"))
        self._python("-c", RENAME_BASE)
        with self._running(TRAINER="1") as site:
            site.wait_for_words("training run 2: version 3 is ", seconds=1800)
        self._python("fill_0_9_0.py", "late", str(self.facts))
        self._python("manage.py", "backup", str(self.backup))

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file that the fixture keeps of this site."""
        yield "facts.json", self.facts.read_bytes()
        yield "backup.tar", self.backup.read_bytes()
        if self.engine == "postgresql":
            yield "dump.sql", _dump("upgrade_fixture")
        for number in (2, 3):
            for column in ("keras_file", "bundle"):
                query = f"ModelFiles.objects.get(version__number={number}).{column}"
                code = "import sys, django; django.setup(); from recognizer.models import ModelFiles; "
                output = self._python("-c", f"{code}sys.stdout.buffer.write({query})", text=False)
                yield f"models/{number}.{column}", output
        for path in sorted(self.data.rglob("*")):
            name = path.relative_to(self.data)
            if path.is_file() and not any(part in LEFT_OUT or part.endswith(".lock") for part in name.parts):
                yield f"data/{name}", path.read_bytes()

    @contextmanager
    def _running(self, **settings: str) -> Iterator[Supervised]:
        with Supervised(self.data, code=self.code, **self.settings | settings) as site:
            site.wait_until_all_run()
            yield site
            site.stop()

    def _python(self, *arguments: str, text: bool = True) -> str | bytes:
        environment = os.environ | self.settings | {"DJANGO_SETTINGS_MODULE": "digitsite.settings"}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.code, env=environment | {"TOKEN_MAX_DAYS": "3650"}, check=True, stdout=subprocess.PIPE, text=text,
        )  # fmt: skip
        return done.stdout


def _checkout(folder: Path) -> None:
    command = ["git", "-C", str(BASE_DIR), "archive", COMMIT]
    archived = subprocess.run(command, check=True, capture_output=True).stdout
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archived)) as tar:
        tar.extractall(folder, filter="data")
    retraining = folder / "ml" / "retraining.py"
    text = retraining.read_text()
    assert MIXED in text
    retraining.write_text(text.replace(MIXED, MIXED.replace("return", "mixed =") + ROUNDED))
    shutil.copy(HERE / "fill_0_9_0.py", folder)


def _dump(database: str) -> bytes:
    """SQL that every version of PostgreSQL reads: without psql's own commands and the settings of one version."""
    url = postgresql.url(database)
    command = ["pg_dump", "--dbname", url, "--inserts", "--no-owner", "--no-privileges", "--no-comments"]
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines(keepends=True)
    left_out = (b"\\", b"SET ", b"SELECT pg_catalog.set_config")
    return b"".join(line for line in lines if not line.startswith(left_out))


if __name__ == "__main__":
    main()
