"""The world outside the issuer, played by programs: an acquirer network with its own books.

This package imports the shared types and the wire, and nothing else of the switch: what it believes about a balance
comes only from the messages it sent and the answers it got, so that it can disagree with the issuer.
"""
