"""Dify's streamed wire: event payloads into `Delta`s.

https://docs.dify.ai/en/api-reference/chat-messages/send-chat-message
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapters.ai.conversation import room_for
from adapters.ai.decoder import Decoder
from adapters.ai.dify_errors import in_band
from adapters.ai.dify_question import kept
from adapters.ai.dify_wire import usage_of
from adapters.ai.profile import Profile
from domain.completion import Completion, Delta, JsonObject, Prompt
from domain.members import object_of, text_of
from domain.provider_errors import ContentFiltered, UpstreamTruncated
from domain.usage import Usage

EVENTS = frozenset({b"", b"message", b"ping"})
Take = Callable[[JsonObject, list[Delta]], None]

_WITHOUT_TEXT = (
    # What an agent thinks is told as its message as well, and what its tools say is told in its answer.
    "agent_log",
    "agent_thought",
    "human_input_form_filled",
    "human_input_form_timeout",
    "human_input_required",
    "iteration_completed",
    "iteration_next",
    "iteration_started",
    "loop_completed",
    "loop_next",
    "loop_started",
    "node_finished",
    "node_retry",
    "node_started",
    "parallel_branch_finished",
    "parallel_branch_started",
    "ping",
    "tts_message",
    "tts_message_end",
    "workflow_started",
)
_ADDRESS = re.compile(r"https?://[^\s<>()\[\]\"'`\\]{1,2000}")


@dataclass(slots=True)
class Task:
    """A generation as Dify knows it."""

    id: str = ""
    """Empty until the first event has told it."""
    over: bool = False
    """Dify said that it is: there is nothing to stop any more."""


class StreamDecoder(Decoder):
    """An answer is whole when `message_end` has come, unless it came because somebody stopped the generation.

    Dify's moderation may replace an answer that has been relayed: then it is void, and the stream ends as filtered
    once its count is in. What was never begun is simply answered by the replacement.
    """

    def __init__(self, prompt: Prompt, profile: Profile, task: Task) -> None:
        super().__init__(room_for(prompt, profile))
        self._takes: Mapping[str, Take] = {
            **dict.fromkeys(_WITHOUT_TEXT, _nothing),
            "message": self._answer,
            "agent_message": self._answer,
            "reasoning_chunk": self._reason,
            "message_file": self._file,
            "message_replace": self._replace,
            "message_end": self._end,
            "workflow_finished": self._finish,
            "workflow_paused": self._pause,
            "error": self._fail,
        }
        self._prompt = prompt
        self._task = task
        self._conversation = ""
        self._role: JsonObject = {"role": "assistant"}
        self._void = False
        self._stopped = False
        self._usage: Usage | None = None

    @property
    def whole(self) -> bool:
        return self.done

    def closing(self) -> Completion:
        remembered = kept(self._conversation, self._prompt)
        return Completion("", "stop", self._usage, self._prompt.model, [], conversation=remembered)

    def take(self, event: JsonObject, deltas: list[Delta]) -> None:
        if not self._task.id:
            self._task.id = text_of(event, "task_id")
        if not self._conversation:
            self._conversation = text_of(event, "conversation_id")
        take = self._takes.get(text_of(event, "event"))
        if take is None:
            self.unknown += 1
        else:
            take(event, deltas)

    def _answer(self, event: JsonObject, deltas: list[Delta]) -> None:
        text = text_of(event, "answer")
        if text and not self._void:
            self._say("content", text, deltas)

    def _reason(self, event: JsonObject, deltas: list[Delta]) -> None:
        reasoning = text_of(object_of(event, "data"), "reasoning")
        if reasoning and not self._void:
            self._say("reasoning_content", reasoning, deltas)

    def _file(self, event: JsonObject, deltas: list[Delta]) -> None:
        """A file that a tool made is a link in the text; nobody loads it unasked."""
        url = text_of(event, "url")
        if not _ADDRESS.fullmatch(url):
            self.unknown += 1
        elif not self._void and event.get("belongs_to") != "user":
            kind = "image" if event.get("type") == "image" else "file"
            self._say("content", f"\n\n[{kind}]({url})\n\n", deltas)

    def _replace(self, event: JsonObject, deltas: list[Delta]) -> None:
        if self._role:
            self._answer(event, deltas)
        else:
            self._void = True

    def _end(self, event: JsonObject, deltas: list[Delta]) -> None:
        self._task.over = True
        self._usage = self.counted = usage_of(event)
        if self._void:
            raise ContentFiltered("The provider's moderation took the answer back.")
        if self._stopped:
            raise UpstreamTruncated("The answer was stopped at the provider.")
        self.done = True
        deltas.append(Delta([{"index": 0, "delta": self._role, "finish_reason": "stop"}]))

    def _finish(self, event: JsonObject, _deltas: list[Delta]) -> None:
        """Before the end of the message or after it; a failure is told once more as an error."""
        self._stopped = object_of(event, "data").get("status") == "stopped"

    def _pause(self, _event: JsonObject, _deltas: list[Delta]) -> None:
        self._task.over = True
        raise UpstreamTruncated("The app waits for a person's input, which it cannot get here.")

    def _fail(self, event: JsonObject, _deltas: list[Delta]) -> None:
        self._task.over = True
        raise in_band(event)

    def _say(self, member: str, text: str, deltas: list[Delta]) -> None:
        self.spend(len(text))
        choice = {"index": 0, "delta": {**self._role, member: text}, "finish_reason": None}
        self._role = {}
        reasoning = member == "reasoning_content"
        deltas.append(Delta([choice], "" if reasoning else text, text if reasoning else ""))


def _nothing(_event: JsonObject, _deltas: list[Delta]) -> None:
    pass
