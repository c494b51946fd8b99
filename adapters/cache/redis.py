"""A cache that all workers and machines share."""

from adapters.redis_link import RedisLink


class RedisCache:
    """Each value carries its key, so a reply that belongs to someone else is never served."""

    def __init__(self, link: RedisLink, prefix: str = "parley:cache:") -> None:
        self._link = link
        self._client = link.client
        self._prefix = prefix

    def get(self, key: str) -> bytes | None:
        name = self._prefix + key
        stored = self._link.ask(self._client.get, name)
        if not isinstance(stored, bytes):
            return None
        label = _label(name)
        if stored.startswith(label):
            return stored[len(label) :]
        self._link.refused("ForeignReply")
        self._link.drop_connections()
        return None

    def set(self, key: str, value: bytes, seconds: int) -> None:
        name = self._prefix + key
        self._link.ask(self._client.set, name, _label(name) + value, ex=seconds)

    def delete(self, key: str) -> None:
        self._link.ask(self._client.delete, self._prefix + key)


def _label(name: str) -> bytes:
    return name.encode() + b"\0"
