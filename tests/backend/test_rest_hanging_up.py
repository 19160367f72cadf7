"""Readers who are shown nothing, on a real socket: they hang up, or ask for the head alone."""

from __future__ import annotations

import signal
import socket
import subprocess
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest

pytestmark = pytest.mark.anyio


def ask_and_hang_up(server: subprocess.Popen[str], url: str, path: str) -> None:
    """Question and hang-up reach the server together: it stands still meanwhile."""
    address = urlsplit(url)
    server.send_signal(signal.SIGSTOP)
    try:
        with socket.create_connection((address.hostname, address.port)) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    finally:
        server.send_signal(signal.SIGCONT)


async def test_what_was_answered_to_nobody_is_shown_again(
    serving: subprocess.Popen[str], served: str
):
    async with httpx2.AsyncClient(base_url=served) as http:
        id = (await http.post("/agent/demo/room", json={"name": "review"})).json()["roomId"]
        path = f"/agent/rooms/{id}/messages"
        await http.post(f"/agent/rooms/{id}/join", json={"agentName": "alice"})
        for count in range(5):
            await http.post(path, json={"sender": "bob", "content": f"{count}"})
        for _ in range(5):
            await anyio.to_thread.run_sync(ask_and_hang_up, serving, served, f"{path}?reader=alice")
        page = await http.get(path, params={"reader": "alice"})

    assert [one["content"] for one in page.json()["messages"]] == ["0", "1", "2", "3", "4"]


async def test_a_head_request_reads_nothing(served: str):
    async with httpx2.AsyncClient(base_url=served) as http:
        id = (await http.post("/agent/demo/room", json={"name": "review"})).json()["roomId"]
        path = f"/agent/rooms/{id}/messages"
        await http.post(f"/agent/rooms/{id}/join", json={"agentName": "alice"})
        await http.post(path, json={"sender": "bob", "content": "unread"})
        head = await http.head(path, params={"reader": "alice"})
        page = await http.get(path, params={"reader": "alice"})

    assert head.status_code == 405
    assert [one["content"] for one in page.json()["messages"]] == ["unread"]
