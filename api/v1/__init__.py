"""Version 1 of the HTTP API."""

from api.v1 import chat, completions, keys, models, sessions, usage

BLUEPRINTS = (
    sessions.blueprint,
    chat.blueprint,
    completions.blueprint,
    models.blueprint,
    usage.blueprint,
    keys.blueprint,
)

MODULES = ("api.health", *(f"api.v1.{name}" for name in ("sessions", "chat", "completions", "models", "usage", "keys")))
"""Where services are injected by name: what a container has to wire."""
