"""What every Cache does."""

from collections.abc import Callable

from application.ports import Cache


class CacheContract:
    """Subclass it with the fixtures `cache` and `pass_time`, which makes that many seconds pass."""

    def test_what_was_set_is_found(self, cache: Cache):
        cache.set("v1:usr_1:a", b"\x00one\xff", 60)

        assert cache.get("v1:usr_1:a") == b"\x00one\xff"

    def test_an_empty_value_is_a_value(self, cache: Cache):
        cache.set("empty", b"", 60)

        assert cache.get("empty") == b""

    def test_what_was_never_set_is_a_miss(self, cache: Cache):
        assert cache.get("never") is None

    def test_the_last_value_wins(self, cache: Cache):
        cache.set("a", b"one", 60)
        cache.set("a", b"two", 60)

        assert cache.get("a") == b"two"

    def test_a_deleted_value_is_a_miss(self, cache: Cache):
        cache.set("a", b"one", 60)
        cache.delete("a")
        cache.delete("a")

        assert cache.get("a") is None

    def test_a_key_that_begins_like_another_is_another(self, cache: Cache):
        cache.set("a", b"one", 60)

        assert cache.get("ab") is None

    def test_a_value_is_gone_after_its_seconds(self, cache: Cache, pass_time: Callable[[float], None]):
        cache.set("a", b"one", 1)
        pass_time(1.05)

        assert cache.get("a") is None
