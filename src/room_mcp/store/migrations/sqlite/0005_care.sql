-- When a room was archived, in microseconds since 1970, UTC; NULL: it was not. Versions that do
-- not know it leave it as it is.

ALTER TABLE rooms ADD COLUMN archived_at INTEGER;
