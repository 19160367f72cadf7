"""The store in this process' memory."""

from .store import MemoryStore

__all__ = ["MemoryStore"]
