"""The client: one ZooKeeper session, the connections that carry it, and the packets on them."""
