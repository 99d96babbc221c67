"""Real candidates in processes of their own, faults on everything between them, and a judge of what they believed.

- `candidate.py`: one candidate's process; `contenders.py`: the libraries that it can run.
- `cluster.py`: three ZooKeeper servers that can be cut from each other; `run.py`: candidates, observers and faults.
- `record.py`: what is written down; `checker.py`: what is wrong with it; `timeline.py`: a picture of it.
- `scenarios.py`: the rows of the table of faults, for `test_rows.py` and `tests/benchmarks/faults.py`.
- `schedule.py`: random faults from a seed, for `test_random.py`.
"""
