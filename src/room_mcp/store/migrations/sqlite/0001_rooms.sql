-- Rooms, their messages, and what goes with them. Times are microseconds since 1970, UTC.

CREATE TABLE rooms (
    no         INTEGER PRIMARY KEY,   -- the upper half of its messages' keys; never used again
    id         TEXT    NOT NULL UNIQUE,
    rev        INTEGER NOT NULL,      -- the commit that last changed it, counted over all rooms
    dir_rev    INTEGER NOT NULL,      -- the commit that last changed its place in the directory
    lifecycle  TEXT    NOT NULL CHECK (lifecycle IN ('open', 'paused', 'closed', 'deleted')),
    listed     INTEGER NOT NULL,
    last_seq   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    name_key   TEXT    NOT NULL,      -- the name, as names are compared
    searchable TEXT    NOT NULL,      -- name and purpose, case folded
    state      TEXT                   -- the room as JSON; NULL in the tombstone of a deleted one
) STRICT;

CREATE INDEX rooms_by_rev ON rooms (rev);
CREATE INDEX rooms_by_dir_rev ON rooms (dir_rev);
CREATE INDEX rooms_by_update ON rooms (updated_at);
CREATE INDEX rooms_by_name ON rooms (name_key) WHERE listed AND lifecycle IN ('open', 'paused');

-- One integer as key, because the full-text index knows a message by its rowid; it is also
-- smaller and quicker than (room_no, seq) WITHOUT ROWID.
CREATE TABLE messages (
    key         INTEGER PRIMARY KEY,  -- room no << 32 | seq
    id          TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    sender      TEXT    NOT NULL,
    sender_type TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    content     TEXT,                 -- JSON as it was sent; NULL when erased
    addressees  TEXT,                 -- JSON lists of names; NULL for none
    reply_to    INTEGER,
    mentions    TEXT,
    wakes       TEXT
) STRICT;

CREATE INDEX messages_by_id ON messages (id);

CREATE VIRTUAL TABLE words USING fts5 (
    tokens,
    content = '',
    contentless_delete = 1,
    detail = none,                    -- which messages hold a token, not where
    tokenize = "ascii tokenchars '_'" -- our own tokens, parted by spaces
);

CREATE TABLE keys (                   -- idempotency keys; they live as long as the room
    room_no     INTEGER NOT NULL,
    sender      TEXT    NOT NULL,     -- as names are compared
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    seq         INTEGER NOT NULL,
    PRIMARY KEY (room_no, sender, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (                -- who is in which room, and how far each has read
    room_no       INTEGER NOT NULL,
    skeleton      TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    active        INTEGER NOT NULL,
    shown_to      INTEGER NOT NULL DEFAULT 0,
    read_to       INTEGER NOT NULL DEFAULT 0,
    seen_at       INTEGER,
    waiting_until INTEGER,
    PRIMARY KEY (room_no, skeleton)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_name ON members (skeleton, active);
