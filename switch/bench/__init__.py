"""``switch bench``: what the switch costs and how fast it is, beside PostgreSQL's own measure of the same work.

It runs the daemon and the load generator as processes of their own, exactly as they run in production, against an
embedded PostgreSQL with durable settings, and looks at them from outside. It never shortcuts the daemon: requests go
in by TCP. It may know the daemon's settings, the journal's tables (to issue cards in bulk and to give pgbench the
same ones) and the simulators; nothing but the command line knows it.
"""
