"""The simulated Earth: a renderer for any truth, and a planet whose truth is known."""
