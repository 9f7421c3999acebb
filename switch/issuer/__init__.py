"""What an issuer decides, and nothing else: pure functions over frozen values.

``decide(case) -> Decision`` is total: a decline is a value, not an exception. The caller brings everything the rules
may see (request, card, account, hold, what is stored of earlier messages, the moment, the security-code port) and
does everything that follows (booking, storing, answering). This room knows no database, no clock, no socket, no
randomness and no file.
"""
