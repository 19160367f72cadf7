"""The rules of a room, pure: no clock, no network, no database, no async."""

from .admission import ACCESSES, Access, Admission, Knock
from .budget import Allowance, Spent
from .checking import Checked, checked, features_of
from .closing import Closing
from .contract import Contract
from .documents import adapted, contract_from, contract_of, overlaid
from .expectations import Expectation
from .fields import BadContract
from .guarding import Standing
from .members import Member, Proof
from .message import BUILT_IN_TYPES, SYSTEM, Content, Draft, Message, SenderType, Stamp
from .names import OWNER, member_name, room_name, skeleton
from .posting import Past
from .refusals import Overdue, Refusal
from .room import Room, Step
from .templates import BUILT_IN, OPEN, template
from .verdicts import Verdict
from .waking import AuthorOf

__all__ = [
    "ACCESSES",
    "BUILT_IN",
    "BUILT_IN_TYPES",
    "OPEN",
    "OWNER",
    "SYSTEM",
    "Access",
    "Admission",
    "Allowance",
    "AuthorOf",
    "BadContract",
    "Checked",
    "Closing",
    "Content",
    "Contract",
    "Draft",
    "Expectation",
    "Knock",
    "Member",
    "Message",
    "Overdue",
    "Past",
    "Proof",
    "Refusal",
    "Room",
    "SenderType",
    "Spent",
    "Stamp",
    "Standing",
    "Step",
    "Verdict",
    "adapted",
    "checked",
    "contract_from",
    "contract_of",
    "features_of",
    "member_name",
    "overlaid",
    "room_name",
    "skeleton",
    "template",
]
