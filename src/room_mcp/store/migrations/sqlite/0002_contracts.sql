-- What a room has agreed on, and what the guard against loops remembers of it.

CREATE TABLE contracts (
    room_no INTEGER PRIMARY KEY,
    source  TEXT    NOT NULL          -- JSON; apart from the state, which every message rewrites
) STRICT;

CREATE TABLE features (               -- of the messages since the room's last snapshot
    key    INTEGER PRIMARY KEY,       -- as in messages
    scored INTEGER NOT NULL,          -- 0: only its facts count
    data   TEXT    NOT NULL
) STRICT;

CREATE TABLE memories (               -- snapshots
    room_no INTEGER PRIMARY KEY,
    seq     INTEGER NOT NULL,         -- the last message that it has heard
    data    TEXT    NOT NULL
) STRICT;
