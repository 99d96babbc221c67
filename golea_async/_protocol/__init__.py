"""The protocol of an election, pure: no event loop, clock or socket.

- The life of a candidate, top to bottom: ``candidacy``; what it knows: ``view``; who leads, and what a candidate does
  next, also on ``DONE``: ``standing``; what it tells the application: ``role``.
- A lost reply to a nomination: ``claims``. Leaving, and deleting znodes: ``departure``.
- Making ``DONE``: ``teardown``. Having another candidate lead: ``transfer`` on the operator's side, ``handing_over`` on
  the candidate's, and ``appeal`` for what passes between them.
- Which error a refused request becomes: ``refusals``; its words: ``identity``; other words for operators: ``oddities``.
"""
