"""Floods, fires and clearings: on the simulated planet, and the same put into a user's own scene."""
