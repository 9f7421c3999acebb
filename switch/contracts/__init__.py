"""The typed words that the rooms share: requests, answers, reasons, secrets, currencies.

Everything here is a frozen value. This room imports no other, does no I/O, reads no clock, and every other
room may import it. A change here is a change of contract: say so in the changelog.
"""
