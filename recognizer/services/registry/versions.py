"""The model registry: which versions there are, which one is live, and the classifier that a worker serves with."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, connection, transaction

from ml.serving import bundle as bundles
from recognizer.models import Deployment, ModelFiles, ModelVersion

if TYPE_CHECKING:  # NumPy, which those do without who only ask what is live
    from ml.serving.classifier import Classifier

log = logging.getLogger(__name__)

NEWEST_DEPLOYMENT = "SELECT to_version_id FROM recognizer_deployment ORDER BY sequence DESC LIMIT 1"


class RegistryError(RuntimeError):
    """The registry cannot do what was asked; the message says why and what to do."""


class NoLiveModelError(RegistryError):
    """No model is deployed."""


class DeploymentConflictError(RegistryError):
    """Somebody else changed the live version at the same moment."""


def base_version_fields(folder: Path = bundles.BASE_FOLDER) -> tuple[dict, dict]:
    """The columns of version 1 and of its files, read from the shipped base model.

    Raises:
        RegistryError: a file of the base model is missing or damaged.
    """
    try:
        keras_file = (folder / "my_model.keras").read_bytes()
        bundle = (folder / "model.bundle").read_bytes()
        metrics = json.loads((folder / "metrics.json").read_text())
        history = json.loads((folder / "history.json").read_text())
        manifest = bundles.read(bundle).manifest
    except (OSError, ValueError) as error:
        raise RegistryError(f"The shipped base model in {folder.name}/ cannot be read: {error}") from error
    version = {
        "number": 1,
        "origin": "base",
        "keras_sha256": hashlib.sha256(keras_file).hexdigest(),
        "bundle_sha256": hashlib.sha256(bundle).hexdigest(),
        "manifest": asdict(manifest),
        "recipe": metrics.get("recipe", {}),
        "history": history,
        "metrics": metrics,
    }
    return version, {"keras_file": keras_file, "bundle": bundle}


def live_deployment() -> Deployment:
    """The newest deployment with its version.

    Raises:
        NoLiveModelError: nothing was ever deployed.
    """
    newest = Deployment.objects.select_related("to_version").first()
    if newest is None:
        raise NoLiveModelError("No model is live. Run `manage.py migrate`: it installs the shipped base model.")
    return newest


def live_version() -> ModelVersion:
    return live_deployment().to_version


def deploy(
    *,
    version: ModelVersion,
    kind: Deployment.Kind,
    why: str,
    who: AbstractBaseUser | None = None,
    replaces: Deployment | None = None,
) -> Deployment:
    """Make `version` the live one, as the next in the row of deployments.

    Args:
        replaces: the deployment that the caller decided upon; if another came since, nothing changes.

    Raises:
        DeploymentConflictError: another deployment came first.
        RegistryError: the version is live already, or its files were pruned.
    """
    if not ModelFiles.objects.filter(version=version).exists():
        raise RegistryError(f"The files of {version} were pruned; it cannot go live again.")
    last = replaces or Deployment.objects.first()
    if last is not None and last.to_version_id == version.pk:
        raise RegistryError(f"{version} is live already.".capitalize())
    try:
        with transaction.atomic():
            return Deployment.objects.create(
                sequence=last.sequence + 1 if last else 1,
                kind=kind,
                from_version_id=last.to_version_id if last else None,
                to_version=version,
                who=who,
                why=why,
            )
    except IntegrityError as error:
        raise DeploymentConflictError(
            "The live version was changed by somebody else at the same moment. Look again and decide anew."
        ) from error


def create_version(version: ModelVersion, *, keras_file: bytes, bundle: bytes) -> ModelVersion:
    """Keep a new version and its bytes, under the next number. Call it within the transaction that decides about it.

    Args:
        version: not saved yet; its number, its manifest and both sha256 are filled in here.

    Raises:
        ml.serving.bundle.BundleError: the bundle cannot be read.
    """
    version.manifest = asdict(bundles.read(bundle).manifest)
    version.keras_sha256 = hashlib.sha256(keras_file).hexdigest()
    version.bundle_sha256 = hashlib.sha256(bundle).hexdigest()
    newest = ModelVersion.objects.values_list("number", flat=True).first()
    version.number = (newest or 0) + 1
    version.save(force_insert=True)
    ModelFiles.objects.create(version=version, keras_file=keras_file, bundle=bundle)
    return version


def find_new_base(folder: Path = bundles.BASE_FOLDER) -> tuple[dict, dict] | None:
    """The shipped base model, if an upgrade of the site brought one that the registry does not know yet.

    Returns:
        As `base_version_fields`, without a number; None when it is known.
    """
    sha256 = hashlib.sha256((folder / bundles.BUNDLE_FILE).read_bytes()).hexdigest()
    if ModelVersion.objects.filter(bundle_sha256=sha256).exists():
        return None
    columns, files = base_version_fields(folder)
    del columns["number"]
    return columns, files


class LiveClassifier:
    """The classifier of the live version, loaded once a thread and again whenever the live version changes."""

    def __init__(self) -> None:
        self._local = threading.local()

    def current(self) -> tuple[ModelVersion, Classifier]:
        """The live version and its classifier: one small query when nothing changed.

        Raises:
            NoLiveModelError: nothing is deployed.
            ml.serving.bundle.BundleError: the stored files are damaged, missing or not what their sha256 says.
        """
        # Asked for each batch: Django takes longer to put such a statement together than the model takes to answer.
        with connection.cursor() as cursor:
            cursor.execute(NEWEST_DEPLOYMENT)
            newest = cursor.fetchone()
        loaded: tuple[ModelVersion, Classifier] | None = getattr(self._local, "loaded", None)
        if loaded is None or newest is None or loaded[0].pk != newest[0]:
            version = live_version()
            loaded = version, classifier_of(version)
            self._local.loaded = loaded
            log.info("serving model version %s (%s)", version.number, settings.INFERENCE_RUNTIME)
        return loaded


def classifier_of(version: ModelVersion) -> Classifier:
    """A new classifier of `version` in the runtime that the settings name; not to be shared between threads."""
    from ml.serving.classifier import load_classifier

    with_keras = settings.INFERENCE_RUNTIME == "keras"
    wanted = ("bundle", "keras_file") if with_keras else ("bundle",)
    files = ModelFiles.objects.filter(version=version).values(*wanted).first()
    if files is None:
        raise bundles.BundleError(f"The files of {version} were pruned; it cannot serve.")
    return load_classifier(
        bytes(files["bundle"]),
        sha256=version.bundle_sha256,
        runtime=settings.INFERENCE_RUNTIME,
        keras_file=bytes(files["keras_file"]) if with_keras else None,
        keras_sha256=version.keras_sha256 if with_keras else None,
    )


def read_file(version: ModelVersion, column: str) -> bytes | None:
    """The bytes of `keras_file` or `bundle`; None when they were pruned."""
    found = ModelFiles.objects.filter(version=version).values_list(column, flat=True).first()
    return None if found is None else bytes(found)


def classifier_from(bundle: bytes, keras_file: bytes) -> Classifier:
    """A classifier of files that are not in the registry (yet), in the runtime that the settings name."""
    from ml.serving.classifier import load_classifier

    return load_classifier(bundle, runtime=settings.INFERENCE_RUNTIME, keras_file=keras_file)


live_classifier = LiveClassifier()
