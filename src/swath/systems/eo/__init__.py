"""Earth observation systems."""
