"""What the elections of one client share: its connection, lease, keep-alive and watches.

- When the lease ends: ``lease``. What renews it: ``keepalive``, and how often: ``pace``. A lapse is noticed by
  ``keepalive``; ``stall`` says whether the event loop or ZooKeeper was to blame.
- The connection: ``channel``, on a plain aiozk client ``aiozk_channel``; requests on it: ``batch`` and ``question``.
- Watches of elections: ``watch_table``; ``survey`` asks for them once more. Those of the application are the client's.
- Background tasks: ``client_context`` and ``background``.
"""
