"""The turns of Anthropic's Messages API and their content blocks, as JSON Schemas.

What would have to be fetched, stored or executed by the gateway (addresses and ids of files, blocks of server tools)
is not among them.
"""

from api.v1.completion_messages import FREE, Schema, array, closed, nullable, only, ref, tagged, text

TEXT_LENGTH = 4_000_000
"""Characters of one text: about a million tokens, which is as much as any window holds."""

BOOLEAN: Schema = {"type": "boolean"}
_TEXT = text(TEXT_LENGTH)
NAME = text(128, 1)
_ID = text(256, 1)
_ENCODED = text(25_000_000, 1)
_MANY = 10_000
"""Blocks of one message: a turn may answer many calls of tools at once."""


def never(description: str) -> Schema:
    return {"type": "boolean", "enum": [False], "description": description}


def own(name: str) -> Schema:
    return ref(f"Messages{name}")


def by_type(**branches: str) -> Schema:
    return tagged("type", {tag: f"Messages{name}" for tag, name in branches.items()})


def block(kind: str, *required: str, **members: Schema) -> Schema:
    return closed({"type": only(kind), **members}, "type", *required)


CACHED = {"cache_control": nullable(own("CacheControl"))}
_NO_CITATIONS = nullable(own("Citations"))

BLOCKS: dict[str, Schema] = {
    "CacheControl": block(
        "ephemeral", ttl=only("5m", "1h"), scope=text(16, description="Ignored: nothing is shared between accounts.")
    ),
    "Citations": closed({"enabled": never("Citations are not supported.")}),
    "TextBlock": block(
        "text",
        "text",
        text=_TEXT,
        citations={**nullable(array(FREE, 1_000)), "description": "Of an earlier answer; ignored."},
        **CACHED,
    ),
    "Base64Image": block(
        "base64",
        "media_type",
        "data",
        media_type=only("image/jpeg", "image/png", "image/gif", "image/webp"),
        data=_ENCODED,
    ),
    "UrlImage": block("url", "url", url=text(8_000, 1, pattern="^https://")),
    "Transformations": closed({"oversized_image": only("downsize")}),
    "ImageBlock": block(
        "image",
        "source",
        source=by_type(base64="Base64Image", url="UrlImage"),
        transformations=nullable(own("Transformations")),
        **CACHED,
    ),
    "Base64Pdf": block("base64", "media_type", "data", media_type=only("application/pdf"), data=_ENCODED),
    "PlainText": block("text", "media_type", "data", media_type=only("text/plain"), data=_TEXT),
    "BlockSource": block(
        "content", "content", content={"anyOf": [_TEXT, array(by_type(text="TextBlock", image="ImageBlock"), 1_000, 1)]}
    ),
    "DocumentBlock": block(
        "document",
        "source",
        source=by_type(base64="Base64Pdf", text="PlainText", content="BlockSource"),
        title=nullable(text(500)),
        context=nullable(_TEXT),
        citations=_NO_CITATIONS,
        **CACHED,
    ),
    "SearchResultBlock": block(
        "search_result",
        "source",
        "title",
        "content",
        source=text(8_000),
        title=text(500),
        content=array(own("TextBlock"), 1_000, 1),
        citations=_NO_CITATIONS,
        **CACHED,
    ),
    "ThinkingBlock": block("thinking", "thinking", "signature", thinking=_TEXT, signature=_TEXT),
    "RedactedThinkingBlock": block("redacted_thinking", "data", data=_TEXT),
    "DirectCaller": block("direct"),
    "ToolUseBlock": block(
        "tool_use", "id", "name", "input", id=_ID, name=NAME, input=FREE, caller=nullable(own("DirectCaller")),
        **CACHED,
    ),
    "ToolResultDocument": block(
        "document",
        "source",
        source=by_type(text="PlainText", content="BlockSource"),
        title=nullable(text(500)),
        context=nullable(_TEXT),
        citations=_NO_CITATIONS,
        **CACHED,
    ),
    "ToolResultBlock": block(
        "tool_result",
        "tool_use_id",
        tool_use_id=_ID,
        content={
            "anyOf": [
                _TEXT,
                array(
                    by_type(
                        text="TextBlock",
                        image="ImageBlock",
                        search_result="SearchResultBlock",
                        document="ToolResultDocument",
                    ),
                    1_000,
                ),
            ]
        },
        is_error=BOOLEAN,
        **CACHED,
    ),
}  # fmt: skip


def _turn(role: str, content: Schema) -> Schema:
    return closed({"role": only(role), "content": content}, "role", "content")


TEXTS: Schema = {"anyOf": [_TEXT, array(own("TextBlock"), 1_000, 1)]}
TURNS: dict[str, Schema] = {
    "UserTurn": _turn(
        "user",
        {
            "anyOf": [
                _TEXT,
                array(
                    by_type(
                        text="TextBlock",
                        image="ImageBlock",
                        document="DocumentBlock",
                        search_result="SearchResultBlock",
                        tool_result="ToolResultBlock",
                    ),
                    _MANY,
                    1,
                ),
            ]
        },
    ),
    "AssistantTurn": _turn(
        "assistant",
        {
            "anyOf": [
                _TEXT,
                array(
                    by_type(
                        text="TextBlock",
                        thinking="ThinkingBlock",
                        redacted_thinking="RedactedThinkingBlock",
                        tool_use="ToolUseBlock",
                    ),
                    _MANY,
                ),
            ]
        },
    ),
    "SystemTurn": _turn("system", TEXTS),
    "Turn": tagged(
        "role",
        {
            "user": "MessagesUserTurn",
            "assistant": "MessagesAssistantTurn",
            "system": "MessagesSystemTurn",
        },
    ),
}
