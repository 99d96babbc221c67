"""The public interface, written down: a change of it is seen, and meant."""
