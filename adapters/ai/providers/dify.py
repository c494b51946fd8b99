"""Dify: https://docs.dify.ai/en/api-reference/chat-messages/send-chat-message.

A key stands for one app (chatbot, agent or chatflow), and the app decides which models answer, with which settings.
So there is one model under any name, and no parameter but `inputs`, the values of the app's own variables. What an
answer costs is decided inside the app as well: a price in `parley.toml` says what is billed for it. Another app is
another provider of this wire; several credentials of one provider are keys of the same app.

A session goes on in Dify's own conversation, and only its newest message is sent. What Dify was not told before (first
turns, completions without a session, conversations that Dify has lost, changed instructions, turns that were cut or
answered by another provider) is sent as a transcript. Images, audio, video and documents are uploaded for the user who
asks; what is at an `https` address is fetched by Dify. Workflows may think for long before their first word: such an
app wants a longer `first_token` in its deadlines.
"""

from adapters.ai.dify_wire import OPTIONS
from adapters.ai.profile import Profile
from domain.completion import ModelCard

PROFILE = Profile(
    name="dify",
    base_url="https://api.dify.ai/v1",
    wire="dify",
    key_env=("DIFY_API_KEY",),
    needs_key=True,
    default_model="app",
    models=(ModelCard("app"),),
    options=OPTIONS,
    embeddings=None,
    images=None,
)
