"""What is told when a database cannot be used: what is wrong, where, and what to do about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import pytest
from refusing import Refusing
from store_talk import a_room

from faults.clusters import Cluster, why_no_cluster
from faults.postgres_binaries import installed_system_binaries
from room_mcp.store.interface import StoreError
from room_mcp.store.opening import open_store
from room_mcp.store.postgres import schema, silence, trying
from room_mcp.store.postgres.addresses import address_in
from room_mcp.store.postgres.connecting import Connections

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(why_no_cluster() is not None, reason="a server of one's own is needed"),
]

PASSWORD = "never-to-be-shown"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(fsync=False, settings={"max_wal_senders": "4"}) as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster) -> str:
    """A database without any table."""
    return cluster.database()


def name_of(url: str) -> str:
    return urlsplit(url).path[1:]


def with_login(url: str, login: str) -> str:
    return (
        urlsplit(url)._replace(netloc=f"{login}@{urlsplit(url).netloc.rpartition('@')[2]}").geturl()
    )


async def refusal(url: str) -> str:
    """What is told instead of opening; the password is not."""
    store = open_store(url)
    with anyio.fail_after(60):
        with pytest.raises(StoreError) as told:
            await store.open()
    text = str(told.value)
    assert told.value.advice
    assert PASSWORD not in text
    assert str(urlsplit(url).password) not in text
    return text


async def opens(url: str) -> None:
    store = open_store(url)
    await store.open()
    await store.aclose()


@pytest.mark.parametrize("user", ["room", "nobody-of-this-name"])
async def test_a_login_that_is_refused_is_told_with_its_user(url: str, user: str):
    told = await refusal(with_login(url, f"{user}:{PASSWORD}"))

    assert f'authentication failed for user "{user}"' in told
    assert f"127.0.0.1:{urlsplit(url).port}/{name_of(url)}" in told
    assert "Check user and password" in told


async def test_a_missing_database_is_told_with_how_to_make_it(url: str):
    told = await refusal(url.replace(name_of(url), "missing"))

    assert told.startswith("There is no such database: postgresql://127.0.0.1")
    assert "/missing. Make it: CREATE DATABASE" in told


async def test_where_no_server_answers_it_says_where(url: str):
    told = await refusal(url.replace(f":{urlsplit(url).port}/", ":1/"))

    assert told.startswith(f"Nobody answers at postgresql://127.0.0.1:1/{name_of(url)}")
    assert "See that the server runs" in told


async def test_an_unknown_host_is_told(url: str):
    told = await refusal(url.replace("127.0.0.1", "nowhere.invalid"))

    assert told.startswith("The host of postgresql://nowhere.invalid:")
    assert "Check the store's address" in told


async def test_an_older_server_is_told_with_its_version(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schema, "MIN_SERVER", 99)

    told = await refusal(url)

    assert f"/{name_of(url)} runs PostgreSQL " in told
    assert "room-mcp needs PostgreSQL 99 or newer" in told


async def test_a_standby_is_told_to_be_none_to_write_to(cluster: Cluster):
    with cluster.standby() as standby:
        told = await refusal(standby.url())

    assert "can only be read: it is a standby" in told
    assert "Name the primary" in told


async def test_of_several_hosts_a_standby_is_passed_over(cluster: Cluster, url: str):
    with cluster.standby() as standby:
        both = url.replace(f":{cluster.port}/", f":{standby.port},127.0.0.1:{cluster.port}/")
        store = open_store(both)
        await store.open()
        room, _ = await store.create(a_room())
        found = await store.room(room.id)
        await store.aclose()

    assert both != url
    assert found == room


async def test_a_database_that_is_read_only_is_told(cluster: Cluster, url: str):
    cluster.sql(f"ALTER DATABASE {name_of(url)} SET default_transaction_read_only = on")

    assert "can only be read: it is a standby, or set to read only" in await refusal(url)


@pytest.mark.parametrize(
    "there",
    [
        "CREATE TABLE customers (no int)",
        "CREATE TABLE customers (no int) PARTITION BY RANGE (no)",
        "CREATE TABLE rooms (colour text)",
        "CREATE TABLE meta (colour text)",
        "CREATE TABLE meta (name text, value text)",
        "CREATE TABLE meta (name text, value text); INSERT INTO meta VALUES ('schema', 'x')",
        "CREATE TABLE meta (name text, value int); INSERT INTO meta VALUES ('schema', 1)",
        "CREATE VIEW messages AS SELECT 1",
        "CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    ],
)
async def test_the_database_of_another_program_is_left_alone(
    cluster: Cluster, url: str, there: str
):
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    cluster.sql(f"{there}; GRANT ALL ON ALL TABLES IN SCHEMA public TO room", name_of(url))
    before = cluster.sql(tables, name_of(url))

    told = await refusal(url)

    assert f"/{name_of(url)} holds tables of another program" in told
    assert "Give room-mcp a database of its own" in told
    assert cluster.sql(tables, name_of(url)) == before


async def test_the_first_tables_of_another_program_are_named(cluster: Cluster, url: str):
    names = ("orders", "customers", "prices", "items")
    cluster.sql("; ".join(f"CREATE TABLE {name} (no int)" for name in names), name_of(url))

    told = await refusal(url)

    assert "tables of another program (customers, items, orders and more)" in told
    assert "CREATE SCHEMA rooms AUTHORIZATION user; then ?search_path=rooms" in told


async def test_a_schema_of_its_own_is_enough(cluster: Cluster, url: str):
    cluster.sql(
        "CREATE TABLE customers (no int); CREATE SCHEMA rooms AUTHORIZATION room", name_of(url)
    )

    await opens(f"{url}?search_path=rooms")

    there = (
        "SELECT schemaname FROM pg_tables WHERE tablename IN ('customers', 'messages') ORDER BY 1"
    )
    assert cluster.sql(there, name_of(url)).split() == ["public", "rooms"]


async def test_a_schema_that_is_missing_is_told(url: str):
    told = await refusal(f"{url}?search_path=rooms")

    assert "names no schema that is there" in told
    assert "CREATE SCHEMA name AUTHORIZATION user" in told


async def test_what_belongs_to_an_extension_is_nobodys(cluster: Cluster, url: str):
    # As CREATE EXTENSION leaves it; which ones are installed differs from server to server.
    cluster.sql(
        "CREATE TABLE of_extension (no int); CREATE VIEW seen AS SELECT 1;"
        "INSERT INTO pg_depend SELECT 'pg_class'::regclass, 'of_extension'::regclass, 0,"
        " 'pg_extension'::regclass, oid, 0, 'e' FROM pg_extension WHERE extname = 'plpgsql'",
        name_of(url),
    )

    await opens(url)


async def test_an_address_without_a_database_is_told_which_one_was_taken(url: str):
    told = await refusal(url.replace(f"/{name_of(url)}", "/"))

    assert "names no database, and PostgreSQL took the one that is named as the user is" in told
    assert 'database "room" does not exist' in told


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("conection_limit=3", '"conection_limit"'),
        ("max_connections=3", '"max_connections"'),
        ("work_mem=many", '"work_mem"'),
    ],
)
async def test_an_option_that_nobody_knows_is_named(url: str, option: str, named: str):
    told = await refusal(f"{url}?{option}")

    assert named in told
    assert "Correct or remove the option in the store's address" in told


async def test_another_encoding_is_told(cluster: Cluster, url: str):
    cluster.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0 OWNER room")

    told = await refusal(url.replace(name_of(url), "latin"))

    assert "/latin is encoded as LATIN1. Make one with ENCODING 'UTF8'" in told


async def test_a_user_without_rights_is_told_how_to_get_them(cluster: Cluster, url: str):
    cluster.sql(f"ALTER DATABASE {name_of(url)} OWNER TO postgres")

    told = await refusal(url)

    assert "may not do what a store needs" in told
    assert "permission denied for schema public" in told
    assert "OWNER TO" in told


async def test_a_newer_schema_is_told_with_how_to_upgrade(cluster: Cluster, url: str):
    await opens(url)
    cluster.sql("UPDATE meta SET value = '99' WHERE name = 'schema'", name_of(url))

    told = await refusal(url)

    assert "was written by a newer room-mcp (schema 99" in told
    assert "pip install --upgrade room-mcp" in told


async def test_a_server_that_takes_no_more_connections_is_told(cluster: Cluster, url: str):
    cluster.sql(f"ALTER DATABASE {name_of(url)} CONNECTION LIMIT 1")

    told = await refusal(url)

    assert "takes no more connections" in told
    assert "Raise max_connections of the server, or lower connection_limit" in told


async def test_after_a_refusal_opening_can_be_tried_again(cluster: Cluster, url: str):
    cluster.sql(f"ALTER DATABASE {name_of(url)} CONNECTION LIMIT 1")
    store = open_store(url)
    with pytest.raises(StoreError):
        await store.open()
    cluster.sql(f"ALTER DATABASE {name_of(url)} CONNECTION LIMIT -1")

    await store.open()

    assert store.epoch
    await store.aclose()


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://room:{PASSWORD}@db:abc/rooms",
        f"postgresql://room:{PASSWORD}@db:0/rooms",
        f"postgresql://room:{PASSWORD}@db:65536/rooms",
        f"postgresql://room:{PASSWORD}@db:5432,standby:x/rooms",
        f"postgresql://room:{PASSWORD}@[db/rooms",
        f"postgresql://room:{PASSWORD}\u2100@db/rooms",
        f"postgresql://room:a/{PASSWORD}@db/rooms",
        f"postgresql://room:a#{PASSWORD}@db/rooms",
        f"postgresql://room:a?{PASSWORD}@db/rooms",
        f"postgresql://room:{PASSWORD}@db/rooms?connection_limit=many",
        f"postgresql://room:{PASSWORD}@db/rooms?connection_limit=1",
        f"postgresql://room:{PASSWORD}@db/rooms?connection_limit=-5",
        f"postgresql://room:{PASSWORD}@db/rooms?connection_limit=99999999999",
        f"postgresql://room:{PASSWORD}@127.0.0.1/rooms?sslmode=perhaps",
    ],
)
async def test_an_address_that_cannot_be_read_is_told_without_its_password(address: str):
    with pytest.raises(StoreError) as told:
        await open_store(address).open()

    assert "The address of the database cannot be read" in str(told.value)
    assert "Write postgresql://USER:PASSWORD@HOST:5432/DATABASE" in told.value.advice
    assert PASSWORD not in str(told.value)


async def test_a_password_may_hold_anything_when_it_is_escaped(cluster: Cluster, url: str):
    strange = "a/b?c#d%e@f:g,h ü"
    cluster.sql(f"CREATE ROLE strange LOGIN SUPERUSER PASSWORD '{strange}'")

    await opens(with_login(url, f"strange:{quote(strange, safe='')}"))


# ---- servers that start, and poolers -------------------------------------------------------------

STARTING = {"code": "57P03", "message": "the database system is starting up"}


async def test_a_server_that_starts_at_the_same_time_is_waited_for(url: str):
    async with Refusing(url, **STARTING, times=3) as server:
        await opens(server.url)


async def test_a_server_that_starts_for_too_long_is_told(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trying, "STARTING_S", 0.1)
    async with Refusing(url, **STARTING, times=1_000) as server:
        told = await refusal(server.url)

    assert "the database system is starting up" in told


async def test_a_pooler_that_refuses_settings_is_told_with_how_to_set_it_up(url: str):
    message = "unsupported startup parameter: jit"
    async with Refusing(url, code="08P01", message=message, times=1_000) as pooler:
        told = await refusal(pooler.url)

    assert told.startswith("A pooler at postgresql://127.0.0.1:")
    assert f"({message})" in told
    assert "pool_mode = session and ignore_startup_parameters = jit,plan_cache_mode," in told


async def test_a_server_without_a_sign_of_life_is_given_up_by_the_system(url: str):
    session: Any = await Connections(address_in(url)).own()

    sock = session._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        kept_ms = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert kept_ms == silence.SILENT_S * 1_000
    await session.close()


# ---- TLS ----------------------------------------------------------------------------------------


async def test_a_server_without_tls_is_told_where_tls_is_wanted(url: str):
    told = await refusal(f"{url}?sslmode=require")

    assert f"/{name_of(url)} does not speak TLS" in told
    assert "ssl = on" in told


async def test_a_missing_file_of_tls_is_told(url: str):
    told = await refusal(f"{url}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem")

    assert told == (
        "/nowhere/ca.pem, which sslrootcert names, cannot be read: No such file or directory. "
        "Correct sslrootcert in the store's address, or put the file there."
    )


@pytest.mark.parametrize("option", ["sslcert", "sslkey"])
async def test_a_missing_file_of_a_client_is_told_with_its_option(url: str, option: str):
    told = await refusal(f"{url}?{option}=/nowhere/client.pem")

    assert told.startswith(f"/nowhere/client.pem, which {option} names, cannot be read: No such")


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
async def test_without_an_authority_it_is_told_that_one_is_needed(
    url: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))

    told = await refusal(f"{url}?sslmode={mode}")

    assert told == (
        f"sslmode={mode} needs the certificate of the authority that stands for the server, and "
        "no sslrootcert names it; ~/.postgresql/root.crt is not there either. "
        "Write sslrootcert=/path/to/ca.pem into the store's address."
    )


# ---- the file of passwords -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o644])
async def test_a_file_of_passwords_that_others_can_read_is_told_and_not_used(
    url: str,
    mode: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.delenv("PGPASSFILE", raising=False)
    file = tmp_path / ".pgpass"
    file.write_text(f"*:*:*:*:{urlsplit(url).password}\n")
    file.chmod(mode)
    without = with_login(url, "room")

    if mode == 0o600:
        await opens(without)
    else:
        assert "does not let this user in" in await refusal(without)
        assert "does not let this user in" in await refusal(without)

    told = [one.getMessage() for one in caplog.records if ".pgpass" in one.getMessage()]
    once = ["~/.pgpass is readable by others, so it is not used: chmod 600 ~/.pgpass"]
    assert told == ([] if mode == 0o600 else once)
    assert list(recwarn) == []


@pytest.fixture(scope="module")
def speaking_tls() -> Iterator[Cluster]:
    binaries = installed_system_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL with TLS is installed")
    with Cluster(binaries=binaries, fsync=False, tls=True) as cluster:
        yield cluster


async def test_tls_opens_where_its_authority_is_known(speaking_tls: Cluster):
    known = f"sslmode=verify-full&sslrootcert={speaking_tls.certificate}"

    await opens(f"{speaking_tls.database()}?{known}")


async def test_tls_of_an_unknown_authority_is_told(speaking_tls: Cluster, cluster: Cluster):
    wrong = _another_authority(speaking_tls.folder)

    told = await refusal(f"{speaking_tls.database()}?sslmode=verify-full&sslrootcert={wrong}")

    assert "do not agree on TLS" in told
    assert "Check sslmode and sslrootcert" in told


async def test_a_server_that_wants_tls_is_told_where_there_is_none(speaking_tls: Cluster):
    told = await refusal(f"{speaking_tls.database()}?sslmode=disable")

    assert "no encryption" in told


def _another_authority(folder: Path) -> Path:
    from room_mcp import certificates

    own = certificates.own(folder / "another", ["localhost"])
    return own.with_name(certificates.SHOWN)
