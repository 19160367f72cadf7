"""An agent that is about to share a secret hears of it first."""

from __future__ import annotations

import pytest
from house import House

# Words are the same in both eras.
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ["auto"], indirect=True)]

SECRET = "AKIA" + "QZ7RT3MPLXVB2KD9"


async def test_a_secret_is_refused_once_with_what_to_do(house: House):
    ann, room = await house.agent("ann"), await house.room("api-review", "ann")

    refused = await ann("send_message", room="api-review", content=f"use {SECRET}")
    kept = (await house.rooms.messages(room.id)).messages
    again = await ann("send_message", room="api-review", content=f"use {SECRET}")

    assert refused.is_error
    assert "an AWS access key, in line 1" in refused.text
    assert "send exactly the same again" in refused.text
    assert SECRET not in refused.text
    assert kept == []
    assert again.text.startswith("Sent #1")
