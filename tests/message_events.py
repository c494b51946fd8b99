"""Streams in Anthropic's dialect, and the message that a client puts together from their events."""

import json


class Played:
    """A stream that plays its items."""

    request_id = "req_1"
    model = "acme/being-tried"

    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        for item in self.items:
            if isinstance(item, BaseException):
                raise item
            if item:
                self.model = "acme/large"
            yield item


def events_of(pieces):
    blocks = b"".join(pieces).decode().split("\n\n")
    assert blocks.pop() == ""
    found = []
    for block in blocks:
        name, body = block.split("\n")
        payload = json.loads(body.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        found.append(payload)
    return found


def assembled(found):
    """The message that a client puts together, as SDKs do: blocks strictly one after the other."""
    first, *rest = [event for event in found if event["type"] != "ping"]
    assert first["type"] == "message_start"
    message, open_block, inputs = json.loads(json.dumps(first["message"])), None, {}
    for event in rest:
        kind = event["type"]
        if kind == "content_block_start":
            assert open_block is None
            open_block = event["index"]
            assert open_block == len(message["content"])
            message["content"].append(dict(event["content_block"]))
        elif kind == "content_block_delta":
            assert event["index"] == open_block
            _apply(event["delta"], message["content"][open_block], inputs, open_block)
        elif kind == "content_block_stop":
            assert event["index"] == open_block
            open_block = None
        elif kind == "message_delta":
            assert open_block is None
            message |= event["delta"]
            message["usage"] = {**message["usage"], **event["usage"]}
    for at, text in inputs.items():
        message["content"][at]["input"] = json.loads(text)
    return message


def _apply(delta, block, inputs, at):
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            assert block["type"] == "tool_use"
            inputs[at] = inputs.get(at, "") + delta["partial_json"]
