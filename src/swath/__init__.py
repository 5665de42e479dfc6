"""swath: from raw scenes to maps that people can trust."""

__version__ = "0.1.0"
