"""Gemini's generateContent: a prompt into bytes, an answer into a `Completion`. Streams: `gemini_stream`.

https://ai.google.dev/api/generate-content
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from adapters.ai.conversation import chosen, functions_of, given, schema_of, stops, unsupported
from adapters.ai.decoder import parsed
from adapters.ai.gemini_candidate import Candidate
from adapters.ai.gemini_contents import contents_of, system_of
from adapters.ai.gemini_errors import in_band
from adapters.ai.gemini_thinking import BUDGETED, thinking_of
from adapters.ai.gemini_usage import usage_of
from adapters.ai.profile import Profile
from adapters.ai.refusals import PromptBlocked, masked
from domain.completion import Completion, JsonObject, Prompt, output_limit
from domain.members import object_of, objects_of, text_of
from domain.provider_errors import UpstreamBadJson

OPTIONS = frozenset(
    {
        "frequency_penalty",
        "max_completion_tokens",
        "max_tokens",
        "n",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)

_NAMES = {
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "topK",
    "top_p": "topP",
}
_CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_TIERS = {"auto": "unspecified", "default": "standard", "flex": "flex", "priority": "priority"}
_JSON = "application/json"


def path_of(model: str, method: str) -> str:
    """`model` is one segment of the path, whatever is in it."""
    return f"/v1beta/models/{quote(model, safe='')}:{method}"


def encode(prompt: Prompt, profile: Profile) -> bytes:
    """Raises UnsupportedParameter or InvalidRequest for what Gemini's wire cannot say."""
    options = given(prompt.options, OPTIONS)
    card = profile.card(prompt.model)
    signed = BUDGETED not in card.capabilities
    body: JsonObject = {"contents": contents_of(prompt.messages, signed=signed)}
    system = system_of(prompt.messages)
    if system:
        body["systemInstruction"] = {"parts": system}
    generation = _generation(options)
    thinking = thinking_of(options, card)
    if thinking:
        generation["thinkingConfig"] = thinking
    if generation:
        body["generationConfig"] = generation
    return orjson.dumps(body | _tools(options) | _service(options))


def decode(body: bytes, prompt: Prompt) -> Completion:
    """Raises UpstreamBadJson, ContentFiltered, or what the answer itself tells of a failure."""
    answer = parsed(body)
    if answer is None:
        raise UpstreamBadJson
    check(answer)
    candidates = objects_of(answer, "candidates")
    if not candidates:
        raise UpstreamBadJson("The provider's answer has no candidates.")
    choices = [_choice(raw, prompt) for raw in candidates]
    first = choices[0]
    usage, model = usage_of(object_of(answer, "usageMetadata")), text_of(answer, "modelVersion")
    return Completion(first["message"]["content"] or "", first["finish_reason"], usage, model, choices)


def check(answer: JsonObject) -> None:
    """Raises what a whole answer or an event of a stream tells in place of candidates."""
    if answer.get("error"):
        raise in_band(answer["error"])
    reason = text_of(object_of(answer, "promptFeedback"), "blockReason")
    if reason and not answer.get("candidates"):
        usage = usage_of(object_of(answer, "usageMetadata"))
        raise PromptBlocked(f"The provider blocked the prompt: {masked(reason)[:40]}.", usage)


def _choice(raw: JsonObject, prompt: Prompt) -> JsonObject:
    candidate = Candidate(raw, prompt)
    delta = candidate.take(raw)
    if candidate.finish is None:
        raise UpstreamBadJson("The provider's answer has no reason for its end.")
    for piece in (*delta.get("tool_calls", ()), *delta.get("reasoning_details", ())):
        del piece["index"]
    message = {"role": "assistant", "content": None, **delta}
    return {"index": candidate.index, "message": message, "finish_reason": candidate.finish}


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _generation(options: Mapping[str, Any]) -> JsonObject:
    body = {name: options[option] for option, name in _NAMES.items() if option in options}
    limit = output_limit(options)
    if limit is not None:
        body["maxOutputTokens"] = limit
    if "stop" in options:
        body["stopSequences"] = stops(options["stop"])
    if "response_format" in options:
        body |= _formatted(options["response_format"])
    return body


def _formatted(wanted: Mapping[str, Any]) -> JsonObject:
    match wanted.get("type"):
        case "text":
            return {}
        case "json_object":
            return {"responseMimeType": _JSON}
        case "json_schema":
            return {"responseMimeType": _JSON, "responseJsonSchema": schema_of(wanted)}
    raise unsupported("response_format", "this provider knows text, json_object and json_schema.")


def _tools(options: Mapping[str, Any]) -> JsonObject:
    body: JsonObject = {}
    if options.get("tools"):
        body["tools"] = [{"functionDeclarations": functions_of(options["tools"], _declaration)}]
    if "tool_choice" in options:
        body["toolConfig"] = {"functionCallingConfig": _calling(options["tool_choice"])}
    return body


def _declaration(function: JsonObject, _tool: JsonObject) -> JsonObject:
    """A marker of what is to be cached has no place: Gemini caches by itself."""
    told = {"description": function["description"]} if function.get("description") else {}
    schema = object_of(function, "parameters")
    return {"name": text_of(function, "name"), **told, **({"parametersJsonSchema": schema} if schema else {})}


def _calling(choice: Any) -> JsonObject:
    mode = _CHOICES.get(choice) if isinstance(choice, str) else None
    return {"mode": mode} if mode else {"mode": "ANY", "allowedFunctionNames": [chosen(choice)]}


def _service(options: Mapping[str, Any]) -> JsonObject:
    if "service_tier" not in options:
        return {}
    tier = _TIERS.get(options["service_tier"])
    if tier is None:
        raise unsupported("service_tier", f"this provider knows {', '.join(_TIERS)}.")
    return {"serviceTier": tier}
