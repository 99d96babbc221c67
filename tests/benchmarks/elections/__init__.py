"""What an election costs, side by side: the bare requests, this library on both clients, aiozk's recipe, kazoo's.

    python -m tests.benchmarks.elections            # about eight minutes; writes the table of docs/benchmarks.md
    python -m tests.benchmarks.elections --quick    # smaller numbers, two minutes; prints only

Three ZooKeeper servers on this machine, warmed up. The floor is what the protocol cannot do without, sent bare through
`golea_async.ZKClient` in the same run. What is compared is measured in turn, sample by sample or round by round, so
that a busy moment of the machine meets all of them. Nothing is asserted: each line has its aim beside what was found.
"""
