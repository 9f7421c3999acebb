"""Why a session ends."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CloseReason"]


class CloseReason(StrEnum):
    """Why a session ended; the ``reason`` of the event ``session_closed``."""

    PEER_CLOSED = "peer_closed"
    CONNECTION_LOST = "connection_lost"
    FRAMING_ERROR = "framing_error"
    PARTIAL_FRAME = "partial_frame"  # half a frame, then silence
    PEER_DEAD = "peer_dead"  # echoes unanswered
    PEER_NOT_READING = "peer_not_reading"
    NEVER_SIGNED_ON = "never_signed_on"  # within sign_on_timeout_seconds
    SIGN_ON_REFUSED = "sign_on_refused"
    SIGN_ON_UNANSWERED = "sign_on_unanswered"
    DRAINED = "drained"  # the program stops, in order
    STOPPED = "stopped"  # the program stops, at once
    REJECTED = "rejected"  # the house takes no more, or raised one of its own errors at the intake
    CRASHED = "crashed"  # an error nobody expected; the event ``session_crashed`` says where
