"""An answer that matches nothing is logged with what comes nearest and what differs."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from switch.network.correlation import nearest
from switch.network.dialogue import Dialogue
from switch.wire.inbound import ManagementFunction
from tests.network.support import House, serving
from tests.wire.support import purchase

SIGN_ON, ECHO, SIGN_OFF = ManagementFunction.SIGN_ON, ManagementFunction.ECHO, ManagementFunction.SIGN_OFF


@pytest.mark.parametrize(
    ("mti", "stan", "said", "question", "differs"),
    [
        pytest.param("0810", "000022", ECHO, "0800 000012 echo", "DE11", id="one digit off"),
        pytest.param("0810", "000011", SIGN_OFF, "0800 000011 echo", "DE70", id="another function"),
        pytest.param("0810", "900007", None, "0800 000007 sign_on", "DE11", id="no DE70 to differ"),
        pytest.param("0810", "424242", ECHO, "0800 000012 echo", "DE11", id="the youngest of equals"),
        pytest.param("0810", "900007", SIGN_OFF, "0800 000007 sign_on", "DE11, DE70", id="both"),
        pytest.param("0110", "000012", None, "0800 000012 echo", "MTI", id="not an 0810"),
        pytest.param("0810", "000003", SIGN_ON, "0800 000003", "answered before", id="twice"),
    ],
)
def test_nearest_table(mti: str, stan: str, said: ManagementFunction | None, question: str, differs: str) -> None:
    outstanding = {"000007": SIGN_ON, "000011": ECHO, "000012": ECHO}
    assert nearest(mti, stan, said, outstanding, ["000003"]) == (question, differs)


def test_nothing_outstanding() -> None:
    assert nearest("0810", "000001", ECHO, {}, []) == ("", "nothing outstanding")


def test_a_de70_for_something_else_answers_nothing() -> None:
    dialogue = Dialogue()
    stan = dialogue.ask(SIGN_ON)
    assert dialogue.answered(stan, said=ECHO, approved=True) is None
    assert not dialogue.signed_on
    assert dialogue.answered(stan, said=SIGN_ON, approved=True) is SIGN_ON
    echo = dialogue.ask(ECHO)
    assert dialogue.answered(echo, said=None, approved=True) is ECHO
    assert dialogue.nearest("0810", echo, ECHO).differs == "answered before"


async def test_the_log_line_of_a_session(mock_clock: MockClock) -> None:
    mock_clock.rate = 1.0
    with capture_logs() as logs:
        async with serving(House()) as served:
            peer = await served.signed_on()
            await peer.answer({"7": "0615030405", "11": "424242", "70": "301"})
            await peer.hears_nothing_more()
            mock_clock.jump(60)
            echo = await peer.hears()
            await peer.answer({**echo, "11": "000010"})
            await peer.answer({**echo, "70": "001"})
            await peer.say(t="0110", f39="00", f11=echo["11"])
            await peer.answer(echo)
            await peer.answer(echo)
            await peer.hears_nothing_more()
            assert served.stats.answers_unexpected == 5
    lines = [each for each in logs if each["event"] == "answer_unexpected"]
    assert [(each["nearest"], each["differs"]) for each in lines] == [
        ("", "nothing outstanding"),
        ("0800 000001 echo", "DE11"),
        ("0800 000001 echo", "DE70"),
        ("0800 000001 echo", "MTI"),
        ("0800 000001", "answered before"),
    ]
    assert purchase()["2"] not in repr(logs)
