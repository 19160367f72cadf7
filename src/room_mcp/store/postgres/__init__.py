"""The store in a PostgreSQL database, shared by any number of nodes."""

from .store import PostgresStore

__all__ = ["PostgresStore"]
