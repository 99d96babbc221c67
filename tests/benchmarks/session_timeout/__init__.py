"""What each session timeout T costs and bears: the table and the picture of docs/choosing-t.md.

    python -m tests.benchmarks.session_timeout            # about a quarter of an hour, on three ZooKeeper servers
    python -m tests.benchmarks.session_timeout --draw     # measures nothing: draws what was measured before

The figures are kept in docs/figures/session-timeout.json. From them it draws docs/figures/session-timeout.svg, and
writes the table into the page.
"""
