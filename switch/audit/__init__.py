"""Whether the books agree: the daily close, the figures at the end of a period, and accounting's figures beside ours.

Everything here reads, and nothing writes: a report runs as a role that may only SELECT, in one snapshot, while the
switch works. Balances and movements come from the journal up to a moment and from nothing that was booked later, so the
same report gives the same figures next year.

As of a moment means: with every entry up to the newest one that was booked at or before it. ``booked_at`` is when the
batch was decided, a little before it was committed; so the figures of a moment are final once every unit of work that
had begun by then has ended (``unit_timeout_seconds``), and the reports refuse to run before. Clocks of several daemons
must agree to better than that.

May import the journal, the issuer's words and the contracts. Must not know sockets, dialects or the batch loop, and no
SQL: that stands in ``switch.journal``'s modules ``asof``, ``close``, ``positions`` and ``period``.
"""
