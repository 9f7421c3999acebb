"""A funding provider played by a program: it takes money, gives it back, keeps books, and misbehaves on request.

It speaks the JSON contract of ``switch/funding/README.md`` from the other side and shares no code with the adapter that
calls it: signatures, keys and answers are written here a second time, so that the two can disagree.
"""
