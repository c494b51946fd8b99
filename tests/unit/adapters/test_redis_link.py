import pytest

from adapters.redis_link import SETTINGS, connect


@pytest.mark.parametrize(
    "address",
    ["redis://127.0.0.1:6379/2", "unix:///run/redis.sock", "rediss://user:secret@example.org:6380/0"],
)
def test_every_client_has_the_frozen_settings(address):
    pool = connect(address).connection_pool

    assert pool.max_connections == 32
    assert {name: pool.connection_kwargs[name] for name in SETTINGS if name != "max_connections"} == {
        name: value for name, value in SETTINGS.items() if name != "max_connections"
    }


def test_an_address_cannot_widen_them():
    pool = connect("redis://127.0.0.1?socket_timeout=30&max_connections=9&health_check_interval=0").connection_pool

    assert pool.connection_kwargs["socket_timeout"] == 0.25
    assert pool.connection_kwargs["health_check_interval"] == 15
    assert pool.max_connections == 32


@pytest.mark.parametrize(
    "address",
    ["", "http://:secret@127.0.0.1", "redis://:secret@127.0.0.1:port", "redis://:secret@127.0.0.1?colour=red"],
)
def test_a_wrong_address_is_refused_at_once_without_being_quoted(address):
    with pytest.raises(ValueError, match="The address of Redis is not valid") as refusal:
        connect(address)

    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None
