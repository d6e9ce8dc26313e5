"""Machine learning: data, preprocessing, network, training and serving. Independent of Django.

TensorFlow is imported only inside the functions that train or export, so that web processes and prediction workers
start without it.
"""
