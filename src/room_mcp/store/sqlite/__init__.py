"""The SQLite engine: one file, any number of processes on one machine."""

from .store import SqliteStore

__all__ = ["SqliteStore"]
