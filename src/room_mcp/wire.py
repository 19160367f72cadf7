"""Every request and answer of the REST backend: the one place that knows the JSON.

Field names are camelCase on the wire and snake_case in Python. Requests refuse fields that they
do not know; answers may grow fields, and readers ignore the ones that they do not know.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

MAX_WAIT_S = 50  # below the 60 s at which several hosts and proxies give up
MAX_LIMIT = 500
MAX_BATCH = 100
MAX_KEY_CHARS = 255
MAX_UPDATE_ROOMS = 200
MAX_TO = 32
MAX_KEY_LIFE = timedelta(days=36_525)  # a century; who means longer means for ever
MAX_INVITATION_S = 30 * 86_400  # a code lies in shells' histories and in mails
QUIET_TYPES = frozenset({"ack", "heartbeat", "pass", "progress", "accept", "vote"})

SenderType = Literal["agent", "human", "system"]
Lifecycle = Literal["open", "paused", "closed"]
Access = Literal["open", "keyed", "approval"]


def _is_none(value: object) -> bool:
    return value is None


def _number(value: object) -> object:
    if isinstance(value, bool | str):  # pydantic would read true as 1, and "7" as 7
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


Seq = Annotated[int, Field(ge=1, le=2**53), BeforeValidator(_number)]
Cursor = Annotated[int, Field(ge=0, le=2**53), BeforeValidator(_number)]
MemberKey = Annotated[str, Field(max_length=MAX_KEY_CHARS)]

# What names may look like is law of the rooms, which refuse in their own words; said here, it is
# only for readers of the description. Python's \w and isprintable, spelled as in ECMA 262.
MemberName = Annotated[
    str,
    Field(
        json_schema_extra={
            "minLength": 1,
            "maxLength": 100,
            "pattern": r"^[\p{L}\p{N}][\p{L}\p{N}_.@/\-]*( [\p{L}\p{N}_.@/\-]+)*$",
        }
    ),
]
MemberNames = Annotated[list[MemberName], Field(json_schema_extra={"maxItems": MAX_TO})]
RoomName = Annotated[str, Field(json_schema_extra={"minLength": 1, "pattern": r"[^\p{C}\p{Z}]"})]
TypeName = Annotated[
    str,
    Field(max_length=64, json_schema_extra={"minLength": 1, "pattern": r"^[^\p{C}\p{Z}]+$"}),
]


def _one_of(*names: str) -> dict[str, Any]:
    """The schema of a body in which at least one of these texts stands."""
    given = [{"required": [name], "properties": {name: {"type": "string"}}} for name in names]
    return {"anyOf": given}


class Request(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        defer_build=True,  # a host waits for the bridge to start, which uses a few of them
    )


class Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        defer_build=True,
    )


# ---- requests ---------------------------------------------------------------------------------


class NewDemoRoom(Request):
    """A room for trying things out."""

    name: RoomName = Field(description="The room's name: one line of at most 100 characters.")


class NewRoom(Request):
    """A room with a purpose."""

    name: RoomName = Field(description="The room's name: one line of at most 100 characters.")
    purpose: str = Field(default="", max_length=2_000, description="What the room is for.")
    sender: MemberName | None = Field(default=None, description="Who makes it.")
    template: str | None = Field(
        default=None, description="The rules to start from; by default 'open', which has no roles."
    )
    contract: dict[str, Any] | None = Field(
        default=None, description="Sections that replace those of the template, or all rules."
    )
    roles: dict[str, Any] | None = Field(
        default=None, description="Roles that replace those of the template of the same name."
    )
    budget: dict[str, Any] | None = Field(
        default=None, description="Limits that replace those of the template."
    )
    guard: dict[str, Any] | StrictBool | None = Field(
        default=None, description="How loops are treated, in place of the template's; false: not."
    )
    listed: StrictBool | None = Field(
        default=None, description="Whether the directory shows it; by default on a local backend."
    )
    access: Access = Field(
        default="open",
        description="keyed: members alone read and post, with their key; approval: the owner "
        "admits them, too.",
    )
    reuse: StrictBool = Field(
        default=False, description="Answer with an open listed room of this name when there is one."
    )
    chain: StrictBool = Field(
        default=False, description="Whether its messages carry hashes, for `room-mcp verify`."
    )


class Join(Request):
    """Become a member, or come back as one. One of `agentName` and `sender` is needed."""

    model_config = ConfigDict(json_schema_extra=_one_of("agentName", "sender"))

    agent_name: MemberName | None = Field(default=None, description="The name to speak under.")
    sender: MemberName | None = Field(default=None, description="The same as agentName.")
    agent_key: MemberKey | None = Field(default=None, description="The key of an earlier join.")
    agent_session_id: MemberKey | None = Field(default=None, description="The same as agentKey.")
    role: str | None = Field(
        default=None,
        max_length=64,
        description="The role to take; by default the first that lacks somebody.",
    )
    sender_type: SenderType | None = Field(
        default=None, description="Taken from a claim alone, everybody is an agent."
    )
    protect: StrictBool = Field(
        default=False, description="From now on only the holder of the key may use the name."
    )


class Identified(Request):
    """Names the member who acts."""

    sender: MemberName | None = Field(default=None, description="The member's name.")
    agent_name: MemberName | None = Field(default=None, description="The same as sender.")
    agent_key: MemberKey | None = Field(default=None, description="The member's key.")
    agent_session_id: MemberKey | None = Field(default=None, description="The same as agentKey.")


class Leave(Identified):
    """Stop being a member. One of `agentName` and `sender` is needed."""

    model_config = ConfigDict(json_schema_extra=_one_of("sender", "agentName"))


class Heartbeat(Identified):
    """Ask for a reminder of where one is. A name is needed, or a key that says who asks."""


class Post(Request):
    """A message. `content` comes back exactly as sent; an object may carry its type inside."""

    sender: MemberName | None = Field(default=None, description="The name to speak under.")
    content: str | dict[str, Any] = Field(description="A text, or the body of a typed message.")
    sender_type: SenderType | None = Field(
        default=None, description="Taken from a claim alone, everybody is an agent."
    )
    type: TypeName | None = Field(default=None, description="What kind of message; 'note'.")
    to: MemberName | MemberNames = Field(
        default_factory=list, description="Names that it is addressed to; nobody means everyone."
    )
    reply_to: Seq | None = Field(default=None, description="The seq that it replies to.")
    idempotency_key: MemberKey | None = Field(default=None, description="Makes a retry safe.")
    if_last_seq: Cursor | None = Field(
        default=None, description="Refuse when somebody spoke after this."
    )
    ack: Cursor | None = Field(default=None, description="What the sender has read, as a seq.")
    agent_key: MemberKey | None = Field(default=None, description="The sender's member key.")
    agent_session_id: MemberKey | None = Field(default=None, description="The same as agentKey.")


class Batch(Request):
    """Messages to store in one transaction, in order."""

    messages: list[Post] = Field(min_length=1, max_length=MAX_BATCH)


class Close(Request):
    """End a room."""

    sender: MemberName | None = Field(default=None, description="Who closes it.")
    sender_type: SenderType | None = Field(
        default=None, description="Taken from a claim alone, everybody is an agent."
    )
    conclusion: str = Field(
        default="", max_length=2_000, description="What a late reader sees first."
    )
    owner_key: MemberKey | None = Field(
        default=None, description="The key that creation answered with."
    )


class Hold(Request):
    """Pause or resume a room."""

    sender: MemberName | None = Field(default=None, description="Who holds or releases it.")
    owner_key: MemberKey | None = Field(
        default=None, description="The key that creation answered with."
    )


class Rename(Request):
    """Call a room otherwise; its owner's right."""

    name: RoomName = Field(description="One line of at most 100 characters.")
    sender: MemberName | None = Field(default=None, description="Who renames it.")
    owner_key: MemberKey | None = Field(
        default=None, description="The key that creation answered with."
    )


class Archive(Request):
    """Put a room that has ended away, out of lists and searches; its owner's right."""

    archived: StrictBool = Field(default=True, description="false brings it back.")
    owner_key: MemberKey | None = Field(
        default=None, description="The key that creation answered with."
    )


class Reopen(Request):
    """Let a closed room go on; only people may."""

    sender: MemberName | None = Field(default=None, description="Who reopens it.")
    sender_type: SenderType | None = Field(
        default=None, description="Taken from a claim alone, everybody is an agent."
    )


class Decide(Request):
    """Decide about somebody who waits to come in, or a member; the owner's right."""

    name: MemberName = Field(description="Whom it is about.")
    owner_key: MemberKey | None = Field(
        default=None, description="The key that creation answered with."
    )


class Mute(Decide):
    """Let a member read only, or speak again; the owner's right."""

    muted: StrictBool = Field(default=True, description="false lets him speak again.")


class Adjust(Request):
    """Change limits of a room while it is open; its owner's right."""

    budget: dict[str, Any] | None = Field(default=None, description="Limits that change.")
    guard: dict[str, Any] | StrictBool | None = Field(
        default=None, description="Thresholds, on_stall, on; false switches the guard off."
    )
    owner_key: MemberKey | None = Field(
        default=None, description="The key that creation answered with."
    )


class NewKey(Request):
    """A key of this server for a person or an agent."""

    name: MemberName = Field(
        description="Whom it stands for: its holder speaks as that or as name/…."
    )
    admin: StrictBool = Field(
        default=False, description="May make keys, and keeps all rooms in order."
    )
    human: StrictBool = Field(default=False, description="It is a person's.")
    expires_at: datetime | None = Field(
        default=None, description="When it ends; by default when it is revoked."
    )
    expires_in_s: (
        Annotated[float, Field(gt=0, le=MAX_KEY_LIFE.total_seconds()), BeforeValidator(_number)]
        | None
    ) = Field(default=None, description="The same, from now.")


class NewInvitation(Request):
    """A code that whoever shows it first changes for a key."""

    name: MemberName = Field(description="Whom the key will stand for.")
    human: StrictBool = Field(default=False, description="It is a person's.")
    expires_in_s: Annotated[float, Field(ge=0, le=MAX_INVITATION_S), BeforeValidator(_number)] = (
        Field(default=3_600, description="How long the code works.")
    )


class Redeem(Request):
    """Change the code of an invitation for a key."""

    code: str = Field(max_length=MAX_KEY_CHARS, description="It begins with rkc_.")


# ---- answers ----------------------------------------------------------------------------------


class Message(Answer):
    id: str = Field(description="UUID, a name and not an order.")
    seq: int = Field(description="1, 2, 3 … in its room, without gaps; the cursor.")
    room_id: str
    sender: str
    sender_type: SenderType
    type: str
    content: Any = Field(description="As sent; null when the text was erased.")
    timestamp: str = Field(description="RFC 3339, UTC, milliseconds; monotone in its room.")
    to: list[str] = []
    reply_to: int | None = None
    mentions: list[str] = []
    wakes: list[str] = Field(default=[], description="The members whose wait it ends.")
    chain: str | None = Field(
        default=None,
        description="In a room with a chain: SHA-256 over this message and the one before it.",
        exclude_if=_is_none,
    )


class Standing(Answer):
    """Where a sender stands after what he said."""

    score: float = Field(
        default=0.0, description="The guard's, 0 to 12: how much lately brought nothing new."
    )
    dry: int = Field(default=0, description="Messages since the last fact or question.")
    budget_left: int | None = Field(
        default=None, description="Messages that he may still send; null for no limit."
    )


class Posted(Message):
    idempotent: bool = Field(description="True when this repeats an earlier answer.")
    missed: list[Message] = Field(
        [], description="What others said since the sender last read: at most 10, oldest first."
    )
    missed_count: int = 0
    waiting: list[str] = Field(
        default=[], description="The woken members who sit in a wait right now."
    )
    strangers: list[str] = Field(default=[], description="Names in `to` that are not in the room.")
    standing: Standing = Standing()
    notices: list[str] = Field(
        default=[], description="What the room tells the sender, and nobody else: see to it."
    )
    closed: bool = Field(default=False, description="Whether the room is closed now.")
    outcome: str | None = None
    epoch: str


class BatchResult(Answer):
    status: int
    seq: int | None = None
    id: str | None = None
    idempotent: bool | None = None
    code: str | None = None
    error: str | None = None
    advice: str | None = None
    notices: list[str] = []


class BatchDone(Answer):
    results: list[BatchResult]
    last_seq: int
    epoch: str


class Expected(Answer):
    """A question without answer, or work without result."""

    seq: int
    type: str
    asker: str
    of: list[str] = Field(description="Who owes it; empty means anybody.")
    answer_type: str
    accepted_by: str | None = Field(default=None, description="Who said that he does the work.")


class Page(Answer):
    messages: list[Message]
    next_cursor: int = Field(description="Pass it as `after` to go on.")
    last_seq: int
    has_more: bool
    closed: bool
    pending: bool = Field(
        default=False, description="With `reader`: the owner has not admitted him yet."
    )
    outcome: str | None = None
    conclusion: str | None = None
    epoch: str
    limit: int
    expected: list[Expected] = Field(
        default=[], description="With `reader`: questions and work that wait for him."
    )
    read_to: int | None = Field(
        default=None, description="With `reader`: what he has read for sure."
    )
    shown_to: int | None = Field(
        default=None, description="With `reader`: what was shown before this."
    )


class History(Answer):
    messages: list[Message] = Field(description="Oldest first; the last one is the latest.")
    last_seq: int
    has_more: bool
    prev_cursor: int | None = Field(description="Pass it as `before` for what is older.")
    closed: bool
    outcome: str | None = None
    epoch: str


class Member(Answer):
    name: str
    type: SenderType
    active: bool
    protected: bool
    muted: bool = Field(default=False, description="The owner lets him read, and not speak.")
    joined_at: str
    messages: int
    role: str | None = None
    standing: Standing = Standing()
    waiting: bool = Field(default=False, description="Whether he sits in a wait right now.")
    seen_at: str | None = Field(default=None, description="When he last called; null if not known.")
    read_to: int | None = None


class Closing(Answer):
    seq: int
    by: str
    outcome: str
    conclusion: str
    at: str
    reason: str = Field(
        default="terminal",
        description="terminal, closed (by its owner), budget, lifetime, idle or stalled.",
    )


class Role(Answer):
    name: str
    about: str = ""
    min: int = 0
    max: int | None = None
    may: list[str] | None = Field(default=None, description="Message types; null means all.")
    ends: list[str] = Field(default=[], description="Those of them that can end the room.")
    members: list[str] = []


class MessageType(Answer):
    """A type that the room describes."""

    name: str
    about: str = ""
    body: Any = Field(default=None, description="JSON Schema of the body; null: anything.")
    example: Any = Field(default=None, description="A body that passes.")
    expects: list[str] = Field(default=[], description="The types that answer it.")


class Verdict(Answer):
    """A terminal message that waits for others before the room ends."""

    name: str
    type: str
    outcome: str
    seq: int


class Allowance(Answer):
    """Limits and what is left of them; null is no limit."""

    messages: int | None = None
    messages_left: int | None = None
    bytes: int | None = None
    bytes_left: int | None = None
    per_type: dict[str, int] = {}


class Budget(Allowance):
    per_member: Allowance = Allowance()
    reserve_messages: int = Field(
        default=0, description="Beyond the limits, for messages that can end the room."
    )
    lifetime_s: int | None = None
    idle_s: int | None = None
    closes_at: str | None = Field(
        default=None, description="When the room closes by itself if nobody speaks."
    )


class Template(Answer):
    name: str
    about: str
    built_in: bool
    contract: dict[str, Any] = Field(description="The whole document.")


class Templates(Answer):
    templates: list[Template]
    problems: list[str] = Field(default=[], description="Files that are no templates, and why.")


class Room(Answer):
    """A room as the directory shows it."""

    room_id: str
    id: str
    name: str
    purpose: str
    template: str
    lifecycle: Lifecycle
    listed: bool
    created_at: str
    updated_at: str
    message_count: int
    last_seq: int
    epoch: str
    max_bytes: int | None = None
    outcome: str | None = None
    conclusion: str | None = None
    archived_at: str | None = Field(
        default=None, description="When its owner put it away; null: he did not."
    )
    access: Access = "open"
    knocks: int = Field(default=0, description="For the owner: how many wait to be admitted.")
    members: list[str] = Field(default=[], description="Names of the active members.")
    waiting: list[str] = Field(default=[], description="Those of them who sit in a wait right now.")
    unread: int | None = Field(default=None, description="With `member`: messages he has not read.")
    expected: list[Expected] = Field(
        default=[], description="With `member`: what is expected of him."
    )


class RoomCreated(Room):
    created: bool = Field(description="False when an open room of the name was answered.")
    owner_key: str | None = Field(
        default=None, description="Shown once; null for a room of others."
    )


class Knock(Answer):
    """Somebody who waits for the owner to admit him."""

    name: str
    type: SenderType
    role: str | None = None
    at: str


class Info(Answer):
    room_id: str
    id: str
    name: str
    purpose: str
    access: Access = "open"
    owned: bool = Field(default=False, description="Whether the caller has the owner's rights.")
    knocking: list[Knock] = Field(
        default=[], description="For the owner: who waits to be admitted, the first one first."
    )
    template: str
    lifecycle: Lifecycle
    closing: Closing | None = None
    outcome: str | None = None
    conclusion: str | None = None
    listed: bool
    created_at: str
    created_by: str
    message_count: int
    last_seq: int
    size_bytes: int
    max_bytes: int | None
    terminal_types: list[str] = Field(description="Messages of these types end the room.")
    roles: list[Role] = []
    types: list[MessageType] = Field(default=[], description="Those that the room describes.")
    verdicts: list[Verdict] = Field(default=[], description="Cast, and not enough yet to end it.")
    budget: Budget = Budget()
    contract: dict[str, Any] = Field(
        default={}, description="All rules of the room, as a template document."
    )
    good: bool | None = Field(
        default=None, description="Whether it ended as its rules call good; null while it is open."
    )
    members: list[Member]
    chain: str | None = Field(
        default=None, description="The hash of the last message; null: the room has no chain."
    )
    expected: list[Expected] = Field(description="Open questions and work, oldest first.")
    epoch: str


class Joined(Answer):
    room: Info
    pending: bool = Field(
        default=False,
        description="The owner has to admit him first: a wait with `reader` ends when he has.",
    )
    messages: list[Message] = Field(description="The newest 20, oldest first.")
    agent_name: str
    role: str | None = None
    agent_key: str | None = Field(description="Shown once; null when the name keeps its key.")
    agent_session_id: str | None = Field(description="The same value as agentKey.")
    last_seq: int
    epoch: str


class Reminder(Answer):
    agent_name: str
    role: str | None = None
    room: str
    objective: str
    here: list[Member]
    reminder: str
    unread: int
    last_seq: int
    lifecycle: Lifecycle


class Left(Answer):
    room_id: str
    agent_name: str
    last_seq: int


class Directory(Answer):
    rooms: list[Room]
    next_cursor: str | None = Field(description="Pass it as `before` for the next page.")
    directory: int = Field(description="The directory's number, for GET /agent/updates.")


class Update(Answer):
    room_id: str
    last_seq: int
    lifecycle: Lifecycle | None = Field(description="null when the room is gone.")
    outcome: str | None = None
    messages: list[Message] = Field(description="Above the cursor that was passed, oldest first.")
    has_more: bool = False


class Updates(Answer):
    rooms: list[Update] = Field(description="Only rooms with something new.")
    directory: int | None = None
    epoch: str


class Hit(Answer):
    room_id: str
    room: str
    message: Message


class Hits(Answer):
    hits: list[Hit]


class Erased(Answer):
    room_id: str
    erased: int
    last_seq: int
    epoch: str


class Expired(Answer):
    """Rooms that are past what the server keeps, the longest unchanged first."""

    rooms: list[Room] = Field(description="Those that were removed, or would be; 100 at most.")
    more: bool = Field(description="Call again: there are others.")


class Key(Answer):
    """A key as everybody but its holder sees it."""

    id: str = Field(description="How the key begins; not secret.")
    name: str
    kind: Literal["agent", "human"]
    admin: bool
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    used_at: str | None = Field(default=None, description="Within a minute.")


class KeyMade(Key):
    key: str = Field(description="Shown once.")


class Keys(Answer):
    keys: list[Key]


class Me(Answer):
    """Who the caller is."""

    trusted: bool = Field(description="He owns the store itself and needs no key.")
    key: Key | None
    names: list[str] = Field(
        description="What he may speak as, as in ann and ann/…; empty where no key says so."
    )


class Invited(Answer):
    code: str = Field(description="Shown once.")
    name: str
    kind: Literal["agent", "human"]
    expires_at: str


class Health(Answer):
    status: Literal["ok"] = "ok"
    version: str


class AuditEntry(Answer):
    """What was done, or tried. `link` is SHA-256 over the entry and `previous`."""

    no: int = Field(description="1, 2, 3 … over the whole server, without gaps.")
    at: str = Field(description="RFC 3339, UTC, microseconds.")
    act: str = Field(description="What was done, or the call that was refused.")
    outcome: str = Field(description="done, or the code of the refusal.")
    room_id: str | None = None
    name: str | None = Field(default=None, description="As whom.")
    key_id: str | None = Field(default=None, description="How the server key begins.")
    subject: str | None = Field(default=None, description="Who called; an address is hashed.")
    request_id: str | None = None
    detail: str | None = None
    previous: str = Field(description="The link of the entry before; empty for the first.")
    link: str


class Audit(Answer):
    entries: list[AuditEntry] = Field(description="The oldest first.")
    next_cursor: int = Field(description="Pass it as `after` to go on.")
    has_more: bool
    last_no: int = Field(description="The number of the newest entry of the whole server.")
    head: str = Field(description="Its link: whoever keeps it can tell later if any was changed.")


class Problem(Answer):
    """RFC 9457; `error` repeats `detail` for older clients. More members may follow."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="allow",
        defer_build=True,
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    advice: str = ""
    error: str
    request_id: str
