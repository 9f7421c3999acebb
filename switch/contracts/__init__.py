"""The typed words that the rooms share: requests, answers, reasons, secrets, currencies.

Everything here is a frozen value. The hot ones are ``gc=False``: they can't be part of a cycle, so the garbage
collector need not walk them. This room imports no other, does no I/O, reads no clock, and every other room may import
it. A change here is a change of contract: say so in the changelog.
"""
