"""Training: the network, recipes, the loop, data sets, label noise, and the export of a trained model."""
