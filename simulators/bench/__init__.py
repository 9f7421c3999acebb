"""The acquirer's side of ``switch bench``: a load generator and an echo responder, each a process of its own.

They keep no books: the generator counts answers and measures latencies, in a few microseconds a message, so that what
it drives is the bottleneck and not itself. The echo responder answers everything at once, and so tells the
generator's own ceiling. Both speak one dialect over plain sockets.
"""
