"""The site under attack from one machine while honest people use it; long forms, run by `make acceptance`."""
