"""Two ways to see whom programs call: from inside each Python process, and on the wire.

`python network_watch.py LOG PROGRAM…`, in a network namespace of its own, runs a program there and
writes down what it sends. The namespace has loopback alone, and every way out leads there, where
all packets are seen: also those of code that Python's audit events know nothing of.
"""

from __future__ import annotations

import ctypes
import fcntl
import ipaddress
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")
LOG = "NETWORK_WATCH_LOG"

# Runs in every Python process before anything else; nothing can take an audit hook back.
AT_START = """\
import json, os, sys
CALLS = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
         "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request"}

def watch(event, args, log=os.environ["NETWORK_WATCH_LOG"], calls=CALLS, dumps=json.dumps,
          open=os.open, write=os.write, close=os.close,
          flags=os.O_WRONLY | os.O_APPEND | os.O_CREAT):
    if event not in calls:
        return
    target = args[0] if event[7:10] == "get" or event[:6] == "urllib" else args[1]
    file = open(log, flags)
    write(file, dumps([event, target, sys.argv], default=str).encode() + b"\\n")
    close(file)

sys.addaudithook(watch)
"""

_LOOPBACK_UP = struct.pack("16sh14x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
_SIOCSIFFLAGS, _SIOCADDRT = 0x8914, 0x890B
_RTF_UP = 1
_ETH_P_ALL = 3
_ICMP6, _UNREACHABLE = 58, 1
_BUFFER_BYTES = 8 * 1024 * 1024  # a busy machine must not lose the one packet that matters
_LOOKS_UP_EVERY_S = 0.2  # a socket that waits does not hear that it shall wait no more


def watched(folder: Path, log: Path) -> dict[str, str]:
    """The environment in which every Python process writes down whom it calls."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(AT_START)
    path = os.pathsep.join([str(folder), *(one for one in sys.path if one)])
    return {**os.environ, "PYTHONPATH": path, LOG: str(log)}


def called(log: Path) -> list[str]:
    """Whom else than this machine the processes called, or looked up."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [line for line in lines if not _is_here(*json.loads(line)[:2])]


def _is_here(event: str, target: object) -> bool:
    if event == "urllib.Request":
        return str(target).startswith(("http://127.0.0.1:", "http://localhost:"))
    host = target[0] if isinstance(target, list) else target
    if host is None or (isinstance(host, str) and host.startswith("/")):
        return True  # an address to listen on; a socket in the file system
    return host == "localhost" or _is_loopback(str(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def has_namespaces() -> bool:
    """Whether this kernel gives anybody a network of his own."""
    if sys.platform != "linux" or shutil.which(NAMESPACE[0]) is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def in_a_namespace(log: Path, program: Sequence[str]) -> list[str]:
    return [*NAMESPACE, sys.executable, __file__, str(log), *program]


# ---- inside the namespace ----------------------------------------------------------------------


def run(log: Path, program: Sequence[str]) -> int:
    """Run the program; the log then holds one line for each address that packets were sent to."""
    _all_ways_lead_to_loopback()
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    wire.settimeout(_LOOKS_UP_EVERY_S)
    seen: set[str] = set()
    watcher = threading.Thread(target=lambda: seen.update(_receivers(wire)))
    watcher.start()
    code = subprocess.run(program, check=False).returncode
    wire.settimeout(0)  # what was sent has arrived: loopback knows no delay
    watcher.join()
    wire.close()
    log.write_text("".join(f"{one}\n" for one in sorted(seen)))
    return code


def _all_ways_lead_to_loopback() -> None:
    def address(text: str) -> bytes:
        return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))

    any_address = address("0.0.0.0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four:
        fcntl.ioctl(four, _SIOCSIFFLAGS, _LOOPBACK_UP)
        device = ctypes.create_string_buffer(b"lo")
        route = struct.pack(  # struct rtentry
            "L16s16s16shhLPhPLLH",
            *(0, any_address, any_address, any_address, _RTF_UP, 0, 0, 0, 0),
            *(ctypes.addressof(device), 0, 0, 0),
        )
        fcntl.ioctl(four, _SIOCADDRT, route)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six:
        everywhere = bytes(16)
        route = struct.pack(  # struct in6_rtmsg
            "16s16s16sIHHIlIi",
            *(everywhere, everywhere, everywhere, 0, 0, 0, 1, 0, _RTF_UP),
            socket.if_nametoindex("lo"),
        )
        fcntl.ioctl(six, _SIOCADDRT, route)


def _receivers(wire: socket.socket) -> Iterator[str]:
    """To whom packets are sent, until the socket is told not to wait any more."""
    while True:
        try:
            packet = wire.recv(2_048)
        except TimeoutError:
            continue
        except BlockingIOError:
            return
        yield _receiver(packet)


def _receiver(packet: bytes) -> str:
    if packet[0] >> 4 == 4:
        return socket.inet_ntoa(packet[16:20])
    if packet[6] == _ICMP6 and packet[40] == _UNREACHABLE:
        packet = packet[48:]  # the one that found no way, and was never on the wire itself
    return socket.inet_ntop(socket.AF_INET6, packet[24:40])


def strangers(log: Path) -> list[str]:
    """The addresses in the log that are not this machine's."""
    return [one for one in log.read_text().splitlines() if not _is_loopback(one)]


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
