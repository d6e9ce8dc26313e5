"""The pictures in the README, and the program that takes them."""
