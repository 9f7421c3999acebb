"""Persistent TCP sessions with card networks: framing in, answers out, sign-on, echo, deadlines, back-pressure.

This room turns a stream of bytes into :class:`~switch.network.arrival.Arrival` values, hands each to the house's
*intake* and sends the answer back on the session it came from. It must not know cards, accounts, rules or SQL: it
imports ``contracts`` and ``wire`` only, and is handed everything else.

What a session does with a message
    =================================  =======================  =============================  ========
    the session is                     a request (0100, 0200)   an advice or reversal          0800
    =================================  =======================  =============================  ========
    signed on, or sign-on is optional  to the intake            to the intake                  answered
    not signed on where it must be     NOT_SIGNED_ON at once    none: the network repeats      answered
    draining (the program stops)       UNAVAILABLE at once      none: the network repeats      answered
    =================================  =======================  =============================  ========

    A message that was refused here never reaches the intake, so nothing is booked for it.

Sign-on
    A session is signed on when either side's sign-on (0800, DE70 001) was accepted by the other, and until either
    side signs off or the connection ends. A new connection starts signed off. Where sign-on is optional it changes
    nothing but the count.

Deadlines
    A request is answered within ``request_deadline_seconds`` of its receipt: by the house, or with DEADLINE_MISSED,
    once. A decision that comes later is not sent (``Delivery.LATE``), whatever it was. This holds also while the
    intake is blocked. A request whose deadline passed before the intake took it is not handed over any more. Advices
    and reversals have no deadline: the network repeats them, and they are answered whenever the decision is there,
    while the session lives.

Back-pressure
    The reader awaits the intake, and takes nothing in while too many messages of its session are in flight: the peer's
    TCP window fills up. Other sessions, deadlines, and the answers of the blocked session go on.

Turns
    What needs no waiting is done in turns, at most one a round of the scheduler, each of ``turn_seconds`` or up to the
    first message that can't be read: a session that floods us, with whatever, takes its share and no more. Those that
    can't be read get a quarter of the time together. A session that says little has its turn at once
    (``switch.network.turns``). Messages that were read and wait for the next turn
    count as not received yet: their deadline begins when they are taken in, as if the kernel still had them.

Polls
    A frame of length zero is a keep-alive. It is answered with one, at a limited rate (``switch.network.polls``), and
    never started from here.

Messages that can't be read
    All are counted and answered where they can be; the log has a few lines a session and field, then one a minute, each
    with how many were left out before it (``left_out``), and one at the session's end with those after the last.

Strangers
    A connection is judged by its address when it is accepted (allow-list, places in all and by address) and takes its
    place before TLS begins. The handshake runs in a task of its own, within a time limit, so that the accept loop waits
    for nobody. Only then there is a session. What is logged about those who get none is metered; all are counted.

TLS
    ``switch.network.tls`` gives a session the same kind of stream as TCP does, so that nothing behind it knows the
    difference. The name in a peer's certificate, checked against an authority, is part of the session's label.

Diallers
    One session at a time with the first of several hosts that gives one; the primary comes first at each attempt.

Answers that match nothing
    Of the peer's answers we wait for 0810s only, each by its STAN and function. One that matches none is counted and
    logged with the question that comes nearest and the fields that differ (``switch.network.correlation``).

Rejects
    A message of ours that the peer could not read comes back behind a reject header, in dialects that have those. It is
    counted and logged with the peer's code and its own STAN. An answer is sent once more, bare, where the dialect's
    policy says so; an 0800 counts as refused.

Failing
    What a peer can cause closes that peer's session at most. Only a broken invariant
    (:class:`~switch.contracts.errors.InvariantBroken`, raised by the intake) leaves this room.
"""
