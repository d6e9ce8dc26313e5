"""Storage of static files whose names contain a content hash, so that browsers can cache them permanently."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedModuleStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc] # WhiteNoise has no types
    """Hashed and compressed static files, including the imports of ES modules."""

    # Rewrites the imports of ES modules to the hashed names.
    # https://docs.djangoproject.com/en/5.2/ref/contrib/staticfiles/#django.contrib.staticfiles.storage.ManifestStaticFilesStorage.support_js_module_import_aggregation
    support_js_module_import_aggregation = True
