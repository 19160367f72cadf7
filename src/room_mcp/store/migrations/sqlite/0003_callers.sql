-- Who may call, how much each has used up, and what was done. Times are microseconds since 1970,
-- UTC.

CREATE TABLE server_keys (
    id         TEXT PRIMARY KEY,      -- how the key begins; not secret
    hash       TEXT    NOT NULL,      -- SHA-256 of the whole key
    name       TEXT    NOT NULL,      -- of the person or agent whom it stands for
    kind       TEXT    NOT NULL CHECK (kind IN ('agent', 'human')),
    admin      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE invitations (            -- for one key each, to whoever shows the code first
    hash       TEXT PRIMARY KEY,      -- SHA-256 of the code
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('agent', 'human')),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many of a kind of things a caller may still do now; on all processes together.
CREATE TABLE rates (
    subject TEXT    NOT NULL,         -- a key or an address
    kind    TEXT    NOT NULL,
    due_at  INTEGER NOT NULL,         -- when all that was taken is earned again
    PRIMARY KEY (subject, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX rates_by_due ON rates (due_at);  -- those that are earned again are removed

CREATE TABLE slots (                  -- things that a caller has open at once, such as waits
    subject TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    holder  TEXT    NOT NULL,         -- the process that keeps them
    count   INTEGER NOT NULL,
    until   INTEGER NOT NULL,         -- then the process is taken for dead
    PRIMARY KEY (subject, kind, holder)
) STRICT, WITHOUT ROWID;

ALTER TABLE rooms ADD COLUMN creator TEXT NOT NULL DEFAULT '';  -- the subject whom it counts for
CREATE INDEX rooms_by_creator ON rooms (creator)
    WHERE creator <> '' AND lifecycle IN ('open', 'paused');

-- Whose server key opened it, and whose a member's name is bound to: they are shown it, listed or
-- not.
ALTER TABLE rooms ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE members ADD COLUMN principal TEXT NOT NULL DEFAULT '';
CREATE INDEX rooms_by_owner ON rooms (owner) WHERE owner <> '';
CREATE INDEX members_by_principal ON members (principal) WHERE principal <> '';
DROP INDEX rooms_by_name;  -- not for listed rooms alone any more
CREATE INDEX rooms_by_name ON rooms (name_key) WHERE lifecycle IN ('open', 'paused');

ALTER TABLE messages ADD COLUMN chain TEXT;  -- SHA-256 over this message and the one before it

CREATE TABLE audit (                  -- what was done, and what was refused
    no      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    act     TEXT    NOT NULL,
    outcome TEXT    NOT NULL,         -- done, or the code of the refusal
    room_id TEXT,
    name    TEXT,                     -- as whom
    key_id  TEXT,                     -- the server key that did it
    subject TEXT,                     -- the caller's address, hashed
    request TEXT,                     -- the request's id, as its answer told it
    detail  TEXT,
    link    TEXT    NOT NULL          -- SHA-256 over this entry and the one before it
) STRICT;

CREATE INDEX audit_by_room ON audit (room_id) WHERE room_id IS NOT NULL;

CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN
    SELECT raise(ABORT, 'the audit is only added to');
END;
CREATE TRIGGER audit_goes_on BEFORE INSERT ON audit  -- INSERT OR REPLACE deletes unseen
    WHEN NEW.no <= (SELECT max(no) FROM audit) BEGIN
    SELECT raise(ABORT, 'the audit is only added to');
END;
CREATE TRIGGER audit_is_as_it_was BEFORE UPDATE ON audit BEGIN
    SELECT raise(ABORT, 'the audit is only added to');
END;
