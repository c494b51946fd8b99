import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ai.dify_question import kept, question_of
from domain import errors
from domain.completion import Prompt

PNG = "data:image/png;base64,iVBORw=="
ID = "45701982-8118-4bc5-8e9b-64562b4555f2"


def user(content):
    return {"role": "user", "content": content}


def answer(content, **fields):
    return {"role": "assistant", "content": content, **fields}


def system(content):
    return {"role": "system", "content": content}


def image(url=PNG):
    return {"type": "image_url", "image_url": {"url": url}}


def question(*messages, conversation=""):
    return question_of(Prompt("app", messages, conversation=conversation))


def remembered(*messages):
    """What is kept of a conversation that was told these instructions."""
    return kept(ID, Prompt("app", messages))


def test_a_first_question_is_sent_as_it_is():
    assert question(user("Hello")).text == "Hello"


def test_several_messages_are_a_transcript_with_their_roles():
    text = question(system("Be brief."), user("I am Ada."), answer("Hello."), user("Who am I?")).text

    introduction, _, transcript = text.partition("\n\n")
    assert introduction.endswith("Answer its last message.")
    assert transcript == "[system]\nBe brief.\n\n[user]\nI am Ada.\n\n[assistant]\nHello.\n\n[user]\nWho am I?"


def test_instructions_alone_are_told_as_such():
    assert question(system("Greet.")).text.endswith("[system]\nGreet.")


def test_calls_and_results_of_tools_are_in_the_transcript():
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    result = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Rain"}]}

    text = question(user("Weather?"), answer(None, tool_calls=[call]), result).text

    assert text.endswith('[assistant]\n[calls weather with {"city": "Köln"}]\n\n[tool]\nRain')


_ROLES = st.sampled_from(["system", "developer", "user", "assistant"])
_TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@given(st.lists(st.tuples(_ROLES, _TEXTS), min_size=1))
def test_no_text_is_lost_and_none_changes_its_place(told):
    text, at = question(*({"role": role, "content": content} for role, content in told)).text, 0
    for _, content in told:
        at = text.index(content, at) + len(content)


def test_a_conversation_that_dify_knows_is_sent_the_newest_message_alone():
    asked = question(
        system("Be brief."),
        user("I am Ada."),
        answer("Hello."),
        user("Who am I?"),
        conversation=remembered(system("Be brief.")),
    )

    assert (asked.text, asked.conversation) == ("Who am I?", ID)


@pytest.mark.parametrize(
    "messages",
    [
        (system("Be rude."), user("a"), answer("b"), user("c")),
        (user("a"), answer("b"), user("c")),
        (system("Be brief."), user("c")),
        (system("Be brief."), user("a"), answer("b")),
        (system("Be brief."), user("a"), answer("b"), {"role": "tool", "tool_call_id": "1", "content": "c"}),
        (),
    ],
    ids=["other instructions", "none", "no memory", "to be continued", "a tool's result", "nothing"],
)
def test_what_dify_was_not_told_begins_a_conversation_with_all_of_it(messages):
    asked = question(*messages, conversation=remembered(system("Be brief.")))

    assert asked.conversation == ""
    for message in messages:
        assert message["content"] in asked.text


@pytest.mark.parametrize("stored", [ID, f"{ID}~", "~", "nonsense"])
def test_what_is_stored_without_our_fingerprint_is_not_sent(stored):
    assert question(user("a"), answer("b"), user("c"), conversation=stored).conversation == ""


@pytest.mark.parametrize("told", ["", "x" * 65, "a~b", "a b", "a:b", "'"])
def test_an_id_that_is_none_is_not_kept(told):
    assert kept(told, Prompt("app", [user("a")])) == ""


def test_half_a_surrogate_pair_stops_nothing():
    assert kept(ID, Prompt("app", [system("\ud83d")]))


def test_files_of_the_question_come_with_it_and_are_not_in_its_text():
    asked = question(user([{"type": "text", "text": "What is this?"}, image(), image("https://x.example/a.png")]))

    assert asked.text == "What is this?"
    inside, outside = asked.attachments
    assert (inside.kind, inside.file.media_type, inside.path) == (
        "image",
        "image/png",
        "messages.0.content.1.image_url.url",
    )
    assert (outside.file, outside.url) == (None, "https://x.example/a.png")


def test_a_question_without_text_names_its_file():
    assert question(user([image()])).text == "[file 1]"


def test_files_of_earlier_messages_go_along_by_their_number():
    asked = question(
        user([{"type": "text", "text": "See"}, image()]),
        answer("A cat."),
        user([{"type": "text", "text": "And this?"}, image()]),
    )

    assert asked.text.endswith("[user]\nSee\n[file 1]\n\n[assistant]\nA cat.\n\n[user]\nAnd this?")
    assert [it.path.split(".")[1] for it in asked.attachments] == ["0", "2"]


def test_files_that_dify_has_from_earlier_turns_are_not_sent_again():
    before = user([{"type": "text", "text": "See"}, image()])
    asked = question(before, answer("A cat."), user("Sure?"), conversation=remembered())

    assert (asked.text, asked.attachments) == ("Sure?", [])


def test_sound_video_and_documents_are_files_too():
    parts = [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://x.example/v.mp4"}},
        {"type": "file", "file": {"file_data": "data:text/csv;base64,YQ==", "filename": "a.csv"}},
    ]
    audio, video, document = question(user(parts)).attachments

    assert (audio.file.media_type, audio.file.encoded) == ("audio/wav", "AAAA")
    assert (video.kind, video.url) == ("video", "https://x.example/v.mp4")
    assert (document.name, document.file.media_type) == ("a.csv", "text/csv")


@pytest.mark.parametrize(
    ("part", "error", "param"),
    [
        (image("http://x.example/a.png"), errors.InvalidRequest, "messages.0.content.0.image_url.url"),
        (image("file:///etc/passwd"), errors.InvalidRequest, "messages.0.content.0.image_url.url"),
        (image("data:image/png,abc"), errors.InvalidRequest, "messages.0.content.0.image_url.url"),
        ({"type": "hologram"}, errors.UnsupportedParameter, "messages.0.content.0"),
    ],
)
def test_what_dify_has_no_place_for_is_refused_by_its_path(part, error, param):
    with pytest.raises(error) as caught:
        question(user([part]))

    assert caught.value.param == param
