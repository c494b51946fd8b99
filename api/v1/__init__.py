"""Version 1 of the HTTP API."""

from api.v1 import (
    accounts,
    admin_limits,
    admin_overview,
    admin_providers,
    admin_teams,
    admin_users,
    chat,
    completions,
    embeddings,
    files,
    images,
    keys,
    logins,
    messages,
    models,
    oidc,
    responses,
    sessions,
    teams,
    usage,
)

BLUEPRINTS = (
    accounts.blueprint,
    logins.blueprint,
    oidc.blueprint,
    teams.blueprint,
    sessions.blueprint,
    chat.blueprint,
    completions.blueprint,
    embeddings.blueprint,
    images.blueprint,
    files.blueprint,
    messages.blueprint,
    responses.blueprint,
    models.blueprint,
    usage.blueprint,
    keys.blueprint,
    admin_users.blueprint,
    admin_teams.blueprint,
    admin_limits.blueprint,
    admin_overview.blueprint,
    admin_providers.blueprint,
)

MODULES = (
    "api.health",
    *(f"api.v1.{name}" for name in ("accounts", "logins", "oidc", "teams", "keys")),
    *(f"api.v1.{name}" for name in ("sessions", "chat", "completions", "messages", "responses", "models", "usage")),
    "api.v1.embeddings",
    "api.v1.images",
    "api.v1.files",
    *(f"api.v1.admin_{name}" for name in ("users", "teams", "limits", "overview", "providers")),
)
"""Where services are injected by name: what a container has to wire."""
