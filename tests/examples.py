"""How often a property is tried: `quick` while one works, `thorough` once in every run of continuous integration."""

from hypothesis import HealthCheck, settings

QUICK = "quick"
_AT_LEISURE = [HealthCheck.too_slow]
"""On a busy machine examples may take as long to make as they want."""

settings.register_profile(QUICK, max_examples=20, suppress_health_check=_AT_LEISURE)
settings.register_profile("thorough", max_examples=100, suppress_health_check=_AT_LEISURE)


def examples(thorough: int) -> int:
    """For a property that needs another number than most: what the thorough profile tries, the quick one a fifth."""
    return max(1, thorough * settings.default.max_examples // 100)
