"""The live version, deployments, and the integrity of served bundles."""

import hashlib
import threading

import pytest
from django.db import connection

from ml.serving.bundle import BundleError
from recognizer.models import Deployment, ModelFiles, ModelVersion
from recognizer.services.registry import versions
from tests.factories import make_version


@pytest.mark.django_db
def test_the_shipped_base_is_version_1_and_live_from_the_start():
    live = versions.live_version()
    assert (live.number, live.origin) == (1, "base")
    assert Deployment.objects.get().kind == Deployment.Kind.INSTALL


@pytest.mark.django_db
def test_the_live_version_is_read_with_one_query_without_model_files(django_assert_num_queries):
    with django_assert_num_queries(1) as queries:
        versions.live_version()
    assert "modelfiles" not in queries.captured_queries[0]["sql"]


@pytest.mark.django_db
def test_a_deployment_changes_the_live_version_and_records_the_previous_one(operator):
    version = make_version()
    deployment = versions.deploy(version=version, kind=Deployment.Kind.PROMOTE, why="better", user=operator.user)
    assert (deployment.sequence, deployment.from_version.number) == (2, 1)
    assert versions.live_version() == version


@pytest.mark.django_db
def test_the_live_version_cannot_be_deployed_again():
    with pytest.raises(versions.RegistryError, match="live already"):
        versions.deploy(version=versions.live_version(), kind=Deployment.Kind.ROLLBACK, why="again")


@pytest.mark.django_db
def test_only_the_first_of_two_concurrent_deployments_succeeds():
    live = versions.live_deployment()
    second, third = make_version(2), make_version(3)
    versions.deploy(version=second, kind=Deployment.Kind.PROMOTE, why="first", replaces=live)
    with pytest.raises(versions.DeploymentConflictError):
        versions.deploy(version=third, kind=Deployment.Kind.PROMOTE, why="late", replaces=live)
    assert versions.live_version() == second


@pytest.mark.django_db
def test_a_pruned_version_cannot_go_live():
    version = make_version()
    ModelFiles.objects.filter(version=version).delete()
    with pytest.raises(versions.RegistryError, match="pruned"):
        versions.deploy(version=version, kind=Deployment.Kind.ROLLBACK, why="back")


@pytest.mark.django_db
def test_the_classifier_is_loaded_once_and_again_after_a_swap():
    live = versions.LiveClassifier()
    first = live.current()
    assert live.current()[1] is first[1]
    version = make_version()
    versions.deploy(version=version, kind=Deployment.Kind.PROMOTE, why="better")
    number, classifier = live.current()
    assert number == version
    assert classifier is not first[1]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_every_thread_has_its_own_classifier():
    live = versions.LiveClassifier()
    classifiers = []

    def load() -> None:
        classifiers.append(live.current()[1])
        connection.close()

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert classifiers[0] is not classifiers[1]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "damage",
    [lambda bundle: bundle[:-100], lambda bundle: b"", lambda bundle: bundle.replace(b"TFL3", b"TFL4")],
    ids=["cut short", "missing", "altered"],
)
def test_a_damaged_bundle_raises_an_error(damage):
    files = ModelFiles.objects.get(version__number=1)
    ModelFiles.objects.filter(pk=files.pk).update(bundle=damage(bytes(files.bundle)))
    with pytest.raises(BundleError):
        versions.LiveClassifier().current()


@pytest.mark.django_db
def test_a_replaced_bundle_is_rejected_by_its_sha256():
    version = ModelVersion.objects.get(number=1)
    ModelVersion.objects.filter(pk=version.pk).update(bundle_sha256=hashlib.sha256(b"another").hexdigest())
    with pytest.raises(BundleError, match="sha256"):
        versions.LiveClassifier().current()


@pytest.mark.django_db
def test_without_a_deployment_the_error_names_the_migrate_command():
    Deployment.objects.all().delete()
    with pytest.raises(versions.NoLiveModelError, match="migrate"):
        versions.live_version()
