"""The loop that joins the rooms: arrivals in, one unit of work a batch, answers out.

The queue between the sessions and the loop is bounded; a full one makes the sessions stop reading. The loop takes
whatever waits and never waits to fill a batch: idle, a batch is one message, under load it grows (group commit). When
more waits than one batch takes, the sessions have their messages decided in turn.

What happens when things go wrong:

=============================  ==================================  =========================================
what                           a request gets                      an advice or reversal gets
=============================  ==================================  =========================================
the database is away           91 at once                          silence: the network repeats it
the commit is in doubt         the same items are run again until  the same; a later repeat finds the key
                               the deadline: the key tells
the answer comes too late      91 has gone out; what was booked    (no deadline)
                               is withdrawn
one message poisons the batch  every message alone; that one 96    every message alone; that one silence
the session has gone           nothing: the network reverses or    nothing: the network repeats it
                               repeats, and finds the key
the books contradict           the process stops                   the process stops
=============================  ==================================  =========================================
"""
