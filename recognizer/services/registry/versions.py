"""Model registry: versions and their files, the live version, and the classifier that workers serve."""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from ml.serving import bundle as bundles
from recognizer.models import Deployment, ModelFiles, ModelVersion, Origin

if TYPE_CHECKING:
    from pathlib import Path

    from django.contrib.auth.models import User

    # Not imported at run time, so that pages do not load NumPy.
    from ml.serving.classifier import Classifier
    from ml.training.export_pipeline import ExportedModel

log = logging.getLogger(__name__)

NEWEST_DEPLOYMENT_SQL = "SELECT to_version_id FROM recognizer_deployment ORDER BY sequence DESC LIMIT 1"


class RegistryError(RuntimeError):
    """The registry cannot carry out a request. The message says why and what to do."""


class NoLiveModelError(RegistryError):
    """No model is deployed."""


class DeploymentConflictError(RegistryError):
    """The live version was changed by someone else at the same time."""


def live_deployment() -> Deployment:
    """Return the newest deployment with its version.

    Raises:
        NoLiveModelError: nothing is deployed.
    """
    newest = Deployment.objects.select_related("to_version").first()
    if newest is None:
        raise NoLiveModelError("No model is live. Run `manage.py migrate`: it installs the shipped base model.")
    return newest


def live_version() -> ModelVersion:
    """Return the live version.

    Raises:
        NoLiveModelError: nothing is deployed.
    """
    return live_deployment().to_version


def deploy(
    *,
    version: ModelVersion,
    kind: Deployment.Kind,
    why: str,
    user: User | None = None,
    replaces: Deployment | None = None,
) -> Deployment:
    """Make a version live by adding a deployment.

    Args:
        version: the version to deploy.
        kind: kind of the deployment.
        why: reason, stored with the deployment.
        user: the operator; None if the site itself deploys.
        replaces: the deployment that the caller expects to replace; by default the newest one.

    Raises:
        DeploymentConflictError: `replaces` is not the newest deployment.
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
                who=user,
                why=why,
            )
    except IntegrityError as error:
        raise DeploymentConflictError(
            "The live version was changed by another operator at the same moment. Look again, then decide."
        ) from error


def create_version(version: ModelVersion, exported: ExportedModel) -> ModelVersion:
    """Store a new version and its files under the next number. The caller opens the transaction.

    Args:
        version: the unsaved version; number, manifest and both hashes are set here.
        exported: its files.
    """
    version.manifest = asdict(exported.manifest)
    version.keras_sha256 = hashlib.sha256(exported.keras_file).hexdigest()
    version.bundle_sha256 = hashlib.sha256(exported.bundle).hexdigest()
    newest = ModelVersion.objects.values_list("number", flat=True).first()
    version.number = (newest or 0) + 1
    version.save(force_insert=True)
    ModelFiles.objects.create(version=version, keras_file=exported.keras_file, bundle=exported.bundle)
    return version


def find_new_base(folder: Path = bundles.BASE_FOLDER) -> tuple[ModelVersion, ExportedModel] | None:
    """Return the shipped base model if it is not in the registry yet, as after an upgrade of the site.

    Args:
        folder: folder of the base model.

    Returns:
        The unsaved version and its files; None if it is in the registry.

    Raises:
        RegistryError: a file of the base model is missing or damaged.
    """
    sha256 = hashlib.sha256((folder / bundles.BUNDLE_FILE).read_bytes()).hexdigest()
    if ModelVersion.objects.filter(bundle_sha256=sha256).exists():
        return None
    # Imported here so that other processes do not load NumPy.
    from ml.training.export_pipeline import ExportMismatchError, read_folder

    try:
        exported, metrics, history = read_folder(folder)
    except ExportMismatchError as error:
        raise RegistryError(f"The shipped base model cannot be read: {error}") from error
    version = ModelVersion(origin=Origin.BASE, recipe=metrics.get("recipe", {}), history=history, metrics=metrics)
    return version, exported


class LiveClassifier:
    """The classifier of the live version. Each thread loads it once, and again when the live version changes."""

    def __init__(self) -> None:
        self._local = threading.local()

    def current(self) -> tuple[ModelVersion, Classifier]:
        """Return the live version and its classifier, with one small query if nothing has changed.

        Raises:
            NoLiveModelError: nothing is deployed.
            ml.serving.bundle.BundleError: the stored files are damaged or missing, or do not match their hash.
        """
        # Raw SQL, since it runs for each batch: the ORM takes longer to compile the query than the model to predict.
        with connection.cursor() as cursor:
            cursor.execute(NEWEST_DEPLOYMENT_SQL)
            newest = cursor.fetchone()
        loaded: tuple[ModelVersion, Classifier] | None = getattr(self._local, "loaded", None)
        if loaded is None or newest is None or loaded[0].pk != newest[0]:
            version = live_version()
            loaded = version, classifier_of(version)
            self._local.loaded = loaded
            log.info("serving model version %s (%s)", version.number, settings.INFERENCE_RUNTIME)
        return loaded


def classifier_of(version: ModelVersion) -> Classifier:
    """Load the classifier of a version, in the runtime of the settings. It must not be shared between threads.

    Raises:
        ml.serving.bundle.BundleError: the files were pruned or are damaged.
    """
    from ml.serving.classifier import load_classifier

    with_keras = settings.INFERENCE_RUNTIME == "keras"
    columns = ("bundle", "keras_file") if with_keras else ("bundle",)
    files = ModelFiles.objects.filter(version=version).values(*columns).first()
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
    """Return the bytes of `keras_file` or `bundle`; None if they were pruned."""
    content = ModelFiles.objects.filter(version=version).values_list(column, flat=True).first()
    return None if content is None else bytes(content)


live_classifier = LiveClassifier()
