"""The REST backend: rooms over HTTP, for any client."""
