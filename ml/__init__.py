"""The science: data, preprocessing, network, training, and the classifier that serves. Knows nothing of Django.

TensorFlow is imported only inside the functions that train or export, so that a web process or a
prediction worker which imports from here starts without it.
"""
