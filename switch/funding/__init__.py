"""Automatic top-up: a purchase's shortfall is charged to what the cardholder registered, and every end is safe.

``machine`` says what an attempt does next, whatever the outside answers, repeats, delays or loses; ``policy`` says how
much is taken from which source, or why nothing is; ``breaker`` keeps a dead provider from costing anybody the time
limit. These three are pure: time is handed in, and what is to be done comes out as data. ``http`` is an adapter of
``switch.contracts.funding`` for providers that speak the JSON contract in this folder's README.

``driver`` joins them with the journal and the network: purchases wait there, and every attempt is brought to its end.
"""
