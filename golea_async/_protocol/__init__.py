"""The protocol of an election, pure: no event loop, clock or socket."""
