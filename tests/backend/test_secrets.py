"""What looks like a secret is said to its sender before it is stored."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from rest_desk import Desk, a_desk, must_be_problem

from room_mcp.backend.callers import new_key
from room_mcp.backend.secrets import MAX_WARNED, SecretWatch, secret_in
from room_mcp.rooms import Draft
from room_mcp.rooms.refusals import LooksLikeSecret
from room_mcp.settings import Settings, SettingsError

CHANCE = random.Random("secrets")
WORD = string.ascii_letters + string.digits
URL_SAFE = WORD + "-_"


def chars(count: int, of: str = WORD) -> str:
    return "".join(CHANCE.choice(of) for _ in range(count))


def part(name: str) -> str:
    """A part of a web token."""
    text = json.dumps({name: chars(12)}).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def pem(kind: str) -> str:
    body = base64.b64encode(CHANCE.randbytes(200)).decode()
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body[:64]}\n{body[64:128]}\n"


AWS = "AKIA" + chars(16, string.ascii_uppercase)
SECRETS = {
    "a key of a room": [new_key(), new_key("rks_"), new_key("rkc_")],
    "an AWS access key": [AWS, f"aws_access_key_id={AWS}"],
    "a GitHub token": ["ghp_" + chars(36), "ghs_" + chars(36), "github_pat_" + chars(82)],
    "an API key of a model": [
        "sk-" + chars(48),
        "sk-proj-" + chars(74, URL_SAFE) + "A",
        "sk-ant-api03-" + chars(92, URL_SAFE) + "AA",
        "sk-or-v1-" + chars(64, "0123456789abcdef"),
    ],
    "a Slack token": ["xoxb-" + chars(12, string.digits) + "-" + chars(24)],
    "a Google API key": ["AIza" + chars(35, URL_SAFE)],
    "a private key": [pem(""), pem("RSA "), pem("OPENSSH "), pem("EC ").replace("\n", "\\n")],
    "a JSON web token": [f"{part('alg')}.{part('sub')}.{chars(43, URL_SAFE)}"],
    "a password or token": [
        'password = "vT7#qLx2!mRz9"',
        "DB_PASSWORD=k3J9vQ2xLm8Zt5Rw",
        '"api_key": "9fKx2Lq7Vb4Tz8Wn3Rp6"',
        "client_secret: Zx8~Q1vN.7rTqL2pW5",
        "Authorization token => Bearer a8Kd7Qm2Xz9Lw4Vr",
    ],
}


@pytest.mark.parametrize(
    ("kind", "secret"),
    [(kind, one) for kind, ones in SECRETS.items() for one in ones],
    ids=lambda value: value[:14],
)
def test_a_secret_is_found_in_the_midst_of_a_text(kind: str, secret: str):
    found = secret_in(f"Here you are:\nuse {secret} for the deploy.")

    assert found == (kind, "in line 2")


COMMIT, DIGEST = hashlib.sha1(b"1").hexdigest(), hashlib.sha256(b"1").hexdigest()
ID = uuid.UUID(int=CHANCE.getrandbits(128))
HARMLESS = {
    "a commit": f"Fixed in {COMMIT}, see also {COMMIT[:9]}.",
    "digests": f"sha256:{DIGEST} token: {DIGEST}",
    "ids": f"room {ID} password: {ID} token={ID}",
    "an image": "![x](data:image/png;base64," + base64.b64encode(CHANCE.randbytes(9_000)).decode(),
    "a package lock": '"integrity": "sha512-' + base64.b64encode(bytes(range(64))).decode() + '"',
    "a placeholder": "password=your-password-1234 token=<YOUR_TOKEN_HERE_1> ${DB_SECRET_2}",
    "stars": "password: ************ api_key=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "documentation": "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE, as their manual has it",
    "code": 'token = os.environ["ROOM_MCP_KEY"]; secret = parseToken(headers.get("X-Auth2"))',
    "names": "password = settings.database_pw2; token: TokenV2Response; secret=load_secret_2",
    "camel": "apiKey: string; const token = getTokenFromHeader2; access_key = AccessKeyProvider",
    "a patch": "-    if len(token) > 12:\n+    if len(token) > MAX_CHARS:\n   password: str | None",
    "a header": 'assert text.startswith("-----BEGIN PRIVATE KEY-----")\n-----END PRIVATE KEY-----',
    "css": ".sk-folding-cube .sk-child-of-a-very-long-class-name-2 { color: red }",
    "a limit": "max_tokens=1000000000000, token: 123456789012, page_token=abcdefghijklmnop",
    "prose": "The secret: nobody knows. Token: something-that-we-agreed-on. Password: a-horse",
    "a path": "secret: /run/secrets/db_Pass1 and password=C:\\Users\\Bob1\\pw.txt",
    "a question": "Does rk_ or sk-ant- or ghp_ begin a key? eyJhbGciOiJIUzI1NiJ9 is a header.",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_agents_write_of_code_is_no_secret(text: str):
    assert secret_in(text) is None


def test_our_own_source_holds_no_secret():
    files = (Path(__file__).parents[2] / "src").rglob("*.py")

    assert [one.name for one in files if secret_in(one.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"env": [{"x": 1}, {"value": AWS}]}, "at env/1/value of the body"),
        ({"db": {"password": "k3J9vQ2xLm8Zt5Rw"}}, "at db/password of the body"),
        ({"keys": {AWS: "mine"}}, "at keys of the body"),
        ({"a b": {"x" * 30: {"password": "k3J9vQ2xLm8Zt5Rw"}}}, "at …/…/password of the body"),
    ],
)
def test_a_secret_in_a_body_is_told_by_its_place(body: dict[str, object], place: str):
    found = secret_in(body)

    assert found is not None
    assert found.place == place


def test_the_secret_itself_is_never_told():
    with pytest.raises(LooksLikeSecret) as refusal:
        SecretWatch("refuse").look("room", Draft("ann", {AWS: {"a": 1}, "b": AWS}))

    told = f"{refusal.value.detail} {refusal.value.advice} {refusal.value.facts}"
    assert AWS not in told
    assert "an AWS access key" in told


# ---- by the setting -----------------------------------------------------------------------------


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with a_desk(tmp_path, secrets="refuse") as desk:
        yield desk


@pytest.mark.anyio
async def test_a_secret_is_refused_once_and_nothing_is_stored(desk: Desk):
    id = (await desk.room())["roomId"]

    refused = must_be_problem(await desk.post(id, "ann", f"use {AWS}"))
    page = await desk.read(id)

    assert (refused["status"], refused["code"]) == (422, "looks_like_secret")
    assert (refused["kind"], refused["place"]) == ("an AWS access key", "in line 1")
    assert "exactly the same again" in refused["advice"]
    assert AWS not in json.dumps(refused)
    assert page["messages"] == []


@pytest.mark.anyio
async def test_the_same_again_is_meant_to_be_shared(desk: Desk):
    id = (await desk.room())["roomId"]
    await desk.post(id, "ann", f"use {AWS}")

    again = await desk.post(id, "ann", f"use {AWS}")
    retried = await desk.post(id, "ann", f"use {AWS}")

    assert (again.status_code, retried.status_code) == (201, 201)


@pytest.mark.anyio
async def test_another_text_sender_or_room_is_warned_of_anew(desk: Desk):
    id, other = (await desk.room())["roomId"], (await desk.room("other"))["roomId"]
    await desk.post(id, "ann", f"use {AWS}")

    posted = [
        await desk.post(id, "ann", f"use {AWS}!"),
        await desk.post(id, "bob", f"use {AWS}"),
        await desk.post(other, "ann", f"use {AWS}"),
    ]

    assert [one.status_code for one in posted] == [422, 422, 422]


@pytest.mark.anyio
async def test_a_secret_in_a_batch_stops_its_own_message_alone(desk: Desk):
    id = (await desk.room())["roomId"]
    messages = [{"sender": "ann", "content": text} for text in ("hi", AWS, "bye")]

    done = await desk.http.post(f"/agent/rooms/{id}/messages/batch", json={"messages": messages})

    assert [one["status"] for one in done.json()["results"]] == [201, 422, 201]


@pytest.mark.anyio
async def test_where_secrets_are_refused_they_are_refused_again(strict: Desk):
    id = (await strict.room())["roomId"]
    await strict.post(id, "ann", AWS)

    again = must_be_problem(await strict.post(id, "ann", AWS))

    assert again["code"] == "looks_like_secret"
    assert "again" not in again["advice"]


def test_where_secrets_are_not_looked_for_none_is_found():
    SecretWatch("off").look("room", Draft("ann", AWS))


def test_only_the_latest_warnings_are_remembered():
    watch = SecretWatch("warn")
    for number in range(MAX_WARNED + 1):
        with pytest.raises(LooksLikeSecret):
            watch.look("room", Draft("ann", f"{number} {AWS}"))

    watch.look("room", Draft("ann", f"{MAX_WARNED} {AWS}"))
    with pytest.raises(LooksLikeSecret):
        watch.look("room", Draft("ann", f"0 {AWS}"))


def test_the_setting_takes_three_words(tmp_path: Path):
    env = {"ROOM_MCP_HOME": str(tmp_path)}

    assert Settings.from_env(env).secrets == "warn"
    assert Settings.from_env({**env, "ROOM_MCP_SECRETS": "Refuse"}).secrets == "refuse"
    with pytest.raises(SettingsError, match="off, warn or refuse"):
        Settings.from_env({**env, "ROOM_MCP_SECRETS": "maybe"})
