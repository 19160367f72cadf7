"""The rules of a room, pure: no clock, no network, no database, no async."""

from .closing import Closing
from .contract import CONTRACTS, OPEN, Contract, TerminalRule
from .expectations import Expectation
from .members import Member, Proof
from .message import BUILT_IN_TYPES, EXPECTS, SYSTEM, Content, Draft, Message, SenderType, Stamp
from .names import member_name, room_name, skeleton
from .refusals import Refusal
from .room import Room, Step
from .waking import AuthorOf

__all__ = [
    "BUILT_IN_TYPES",
    "CONTRACTS",
    "EXPECTS",
    "OPEN",
    "SYSTEM",
    "AuthorOf",
    "Closing",
    "Content",
    "Contract",
    "Draft",
    "Expectation",
    "Member",
    "Message",
    "Proof",
    "Refusal",
    "Room",
    "SenderType",
    "Stamp",
    "Step",
    "TerminalRule",
    "member_name",
    "room_name",
    "skeleton",
]
