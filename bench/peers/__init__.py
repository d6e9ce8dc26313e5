"""What the site is compared with: the same pictures and the same Keras model behind other ways of serving."""
