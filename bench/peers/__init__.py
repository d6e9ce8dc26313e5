"""Other ways of serving the same Keras model, to compare the site with."""
