"""The tests on other versions of Python, of the dependencies and of ZooKeeper: `nox -s versions`."""
