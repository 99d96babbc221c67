"""The client: one ZooKeeper session, the connections that carry it, and the packets on them.

- The session: ``session``. How it comes to a connection: ``connecting``; which server is next: ``hosts``; how long it
  waits before it tries again: ``backoff``.
- One connection: ``connection``; the packets: ``wire`` and ``frames``. What waits without one: ``waiting``.
- Watches of the application: ``watches``; set again on a new connection by ``session``.
- A process that closes the session when the program is dead: ``guardian_process``; what it says to servers:
  ``guardian_talk``; the program's side: ``guardian``.
"""
