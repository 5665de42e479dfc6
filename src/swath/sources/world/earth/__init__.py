"""The planet of the simulated Earth: makers of layers, each over absolute cells, and the Earth that finds them."""
