"""Serving: image decoding, the model bundle, the classifier, verdicts and occlusion maps."""
