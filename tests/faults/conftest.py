"""What several fault tests need: a provider that plays a part, and a gateway in front of it."""

from collections.abc import Iterator

import pytest

from tests.servers.scripted_provider import ScriptedProvider


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    yield provider
    provider.stop()
