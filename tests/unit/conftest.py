import pytest
from hypothesis import settings

from tests import examples


def pytest_configure(config: pytest.Config) -> None:
    """The profiles of `tests.examples`: the quick one, unless `--hypothesis-profile` names another."""
    if not config.getoption("hypothesis_profile"):
        settings.load_profile(examples.QUICK)
