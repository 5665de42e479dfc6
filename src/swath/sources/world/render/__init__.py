"""From truth to what a sensor would have measured."""
