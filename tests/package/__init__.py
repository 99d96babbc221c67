"""What the built package is like in an environment of its own: `nox -s package`."""
