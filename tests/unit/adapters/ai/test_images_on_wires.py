"""Images between our words and the providers': what is said, what is read, and what is believed."""

import struct
import zlib
from contextlib import suppress
from time import monotonic

import pytest

from adapters.ai import dashscope_images
from adapters.ai.deadlines import Deadlines
from adapters.ai.echo_images import EchoImages
from adapters.ai.openai_images import OpenAIImages, encode, usage_of
from adapters.ai.profile import ImageRules, Link, Profile
from adapters.ai.results import decoded, made_image, media_type_of
from adapters.ai.transport import Transport
from adapters.png import png
from application.cancellation import Cancellation
from domain import provider_errors
from domain.completion import ModelCard
from domain.errors import StoppedByUser, UnsupportedParameter
from domain.image import ImagePrompt
from domain.usage import Source, Usage

PROMPT = ImagePrompt("paint", "a cat", 2, "64x48", {"quality": "high"}, "me")
PICTURE = "iVBORw0KGgo="


def a_cancellation() -> Cancellation:
    return Cancellation(20, monotonic)


class ScriptedCalls:
    """Answers each request with the next of its answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = []

    def post(self, _path, body, _cancellation, _request_id=""):
        self.bodies.append(body)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def make(calls, count=1, rules=None):
    maker = OpenAIImages(calls, None, rules or ImageRules())
    return maker.make(ImagePrompt("paint", "a cat", count), a_cancellation(), lambda _: None)


# ── what is believed ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"RIFF....WAVEfmt ", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"<!DOCTYPE html>", None),
        (b"\x89PNG", None),
        (b" \x89PNG\r\n\x1a\n", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_a_content_is_what_its_first_bytes_say(content, kind):
    assert media_type_of(content) == kind
    if kind is None:
        with pytest.raises(provider_errors.UpstreamResultLost):
            made_image(content)
    else:
        assert made_image(content, "in oil").revised_prompt == "in oil"


@pytest.mark.parametrize("text", ["%%%", "a", "iVBORw0KGgo", "ä"])
def test_what_is_not_base64_is_lost(text):
    with pytest.raises(provider_errors.UpstreamResultLost):
        decoded(text)


# ── OpenAI's wire ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_has_what_the_provider_documents_in_its_own_words():
    assert encode(PROMPT, 2, ImageRules()) == {
        "model": "paint",
        "prompt": "a cat",
        "quality": "high",
        "n": 2,
        "size": "64x48",
        "user": "me",
        "response_format": "b64_json",
    }
    rules = ImageRules(size="image_size", count="batch_size", user=False, base64_unasked=("pai",))
    assert encode(PROMPT, 1, rules) == {
        "model": "paint",
        "prompt": "a cat",
        "quality": "high",
        "batch_size": 1,
        "image_size": "64x48",
    }


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [
        ({"input_tokens": 9, "output_tokens": 100}, (9, 100)),
        ({"input_tokens": 0, "output_tokens": 0}, (0, 0)),
        ({"input_tokens": -1, "output_tokens": 100}, (0, 0)),
        ({"input_tokens": 10**12, "output_tokens": 100}, (0, 0)),
        ({"input_tokens": True, "output_tokens": 100}, (0, 0)),
        ({"input_tokens": 9}, (0, 0)),
        (None, (0, 0)),
        ("9", (0, 0)),
    ],
)
def test_tokens_are_counted_where_they_make_sense_and_images_always(raw, tokens):
    usage = usage_of(raw, 3)

    assert (usage.input, usage.output, usage.images, usage.source) == (*tokens, 3, Source.PROVIDER)


def test_one_that_makes_fewer_than_asked_is_asked_for_the_rest():
    calls = ScriptedCalls(*({"data": [{"b64_json": PICTURE}]} for _ in range(3)))

    images = make(calls, 3)

    assert [body["n"] for body in calls.bodies] == [3, 2, 1]
    assert (len(images.images), images.usage.images) == (3, 3)


def test_one_that_makes_more_than_asked_is_paid_for_what_it_made():
    images = make(ScriptedCalls({"data": [{"b64_json": PICTURE}] * 3}), 2)

    assert (len(images.images), images.usage.images) == (2, 3)


def test_an_image_that_was_made_and_lost_is_not_bought_again():
    calls = ScriptedCalls({"data": [{"b64_json": PICTURE}, {"b64_json": "%"}]})

    images = make(calls, 2)

    assert (len(calls.bodies), len(images.images), images.usage.images) == (1, 1, 2)

    lost = {"data": [{"b64_json": PICTURE}, {"b64_json": "%"}]}
    calls = ScriptedCalls(lost, {"data": [{"b64_json": PICTURE}]})
    make(calls, 3, ImageRules(per_request=2))
    assert [body["n"] for body in calls.bodies] == [2, 1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"data": []}, provider_errors.UpstreamBadContent),
        ({"data": "x"}, provider_errors.UpstreamBadJson),
        ({"data": [1]}, provider_errors.UpstreamBadJson),
        ({}, provider_errors.UpstreamBadJson),
        ({"data": [{}]}, provider_errors.UpstreamResultLost),
        ({"data": [{"b64_json": None, "url": 1}]}, provider_errors.UpstreamResultLost),
        ({"images": [{"b64_json": "PHN2Zz4="}]}, provider_errors.UpstreamResultLost),
    ],
)
def test_an_answer_without_images_is_none(answer, error):
    with pytest.raises(error):
        make(ScriptedCalls(answer))


def test_what_was_made_is_owed_also_by_who_leaves():
    cancellation = a_cancellation()
    calls = ScriptedCalls({"data": [{"b64_json": PICTURE}]}, StoppedByUser())

    with pytest.raises(StoppedByUser):
        OpenAIImages(calls, None, ImageRules()).make(ImagePrompt("paint", "a cat", 2), cancellation, lambda _: None)

    assert cancellation.counted == Usage(images=1, source=Source.PROVIDER)


class Fetching:
    """Results: each is the next of what was given, or raises it."""

    def __init__(self, *contents):
        self.contents = list(contents)

    def fetch(self, _url, _cancellation):
        content = self.contents.pop(0)
        if isinstance(content, Exception):
            raise content
        return content


def at_addresses(count, **more):
    return {"data": [{"url": "https://images.example/a.png"}] * count, **more}


@pytest.mark.parametrize(("made_before", "owed"), [(0, 2), (2, 4)])
def test_who_leaves_while_results_are_fetched_owes_what_was_made_of_them(made_before, owed):
    cancellation, picture = a_cancellation(), b"\x89PNG\r\n\x1a\n"
    counted = {"usage": {"input_tokens": 9, "output_tokens": 100}}
    calls = ScriptedCalls(*(at_addresses(2, **counted) for _ in range(owed // 2)))
    results = Fetching(*[picture] * made_before, StoppedByUser())

    with pytest.raises(StoppedByUser):
        OpenAIImages(calls, results, ImageRules(per_request=2)).make(
            ImagePrompt("paint", "a cat", 4), cancellation, lambda _: None
        )

    tokens = owed // 2
    assert cancellation.counted == Usage(9 * tokens, output=100 * tokens, images=owed, source=Source.PROVIDER)


@pytest.mark.parametrize(("made_before", "owed"), [(0, None), (1, Usage(images=1, source=Source.PROVIDER))])
def test_results_that_are_lost_are_owed_by_nobody(made_before, owed):
    cancellation, picture = a_cancellation(), b"\x89PNG\r\n\x1a\n"
    calls = ScriptedCalls(*(at_addresses(1) for _ in range(made_before + 1)))
    results = Fetching(*[picture] * made_before, provider_errors.UpstreamResultLost())

    with suppress(provider_errors.UpstreamResultLost):
        OpenAIImages(calls, results, ImageRules(per_request=1)).make(
            ImagePrompt("paint", "a cat", 2), cancellation, lambda _: None
        )

    assert cancellation.counted == owed


def test_a_model_whose_card_says_otherwise_makes_no_images():
    profile = Profile("acme", "", models=(ModelCard("words"), ModelCard("paint", capabilities=("images",))))

    assert [profile.makes_images(model) for model in ("words", "paint", "whatever")] == [False, True, True]


# ── DashScope ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_is_ordered_in_the_words_of_its_interface():
    prompt = ImagePrompt("wan", "a cat", 2, "64x48", {"negative_prompt": "dogs", "seed": 7})

    assert dashscope_images.encode(prompt) == {
        "model": "wan",
        "input": {"prompt": "a cat", "negative_prompt": "dogs"},
        "parameters": {"seed": 7, "size": "64*48", "n": 2},
    }
    assert "size" not in dashscope_images.encode(ImagePrompt("wan", "a cat"))["parameters"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("DataInspectionFailed", provider_errors.ContentFiltered),
        ("InvalidParameter.Size", provider_errors.UpstreamRejected),
        ("Throttling.RateQuota", provider_errors.UpstreamRateLimited),
        ("InvalidApiKey", provider_errors.UpstreamAuth),
        ("Arrearage", provider_errors.UpstreamAuth),
        ("InternalError.Timeout", provider_errors.UpstreamFailed),
        (None, provider_errors.UpstreamFailed),
        (7, provider_errors.UpstreamFailed),
    ],
)
def test_a_failed_task_says_why(code, error):
    failure = dashscope_images._failure({"code": code, "message": "key sk-0123456789abcdef0123456789abcdef is bad"})

    assert type(failure) is error
    assert "sk-0123" not in failure.message


class ScriptedTasks(ScriptedCalls):
    def get(self, path, cancellation):
        return self.post(path, None, cancellation)


def test_a_failed_task_does_not_tell_our_key_whatever_it_looks_like():
    key = "Zq.0123+456789/abcdefXYZ"
    link = Link(Transport("https://images.example", Deadlines()), key, lambda _: None, 5.0)
    maker = dashscope_images.DashScopeImages(link, ImageRules(), first_pause=0.001)
    told = {"task_status": "FAILED", "code": "InternalError", "message": f"What is {key}?"}
    maker._orders, maker._tasks = ScriptedCalls({"output": {"task_id": "t"}}), ScriptedTasks({"output": told})

    with pytest.raises(provider_errors.UpstreamFailed) as raised:
        maker.make(ImagePrompt("paint", "a cat", 1), a_cancellation(), lambda _: None)

    assert raised.value.message == "What is ***?"


@pytest.mark.parametrize(
    ("metrics", "done"),
    [
        ({"TOTAL": 4, "SUCCEEDED": 1, "FAILED": 1}, 0.5),
        ({"TOTAL": 4, "SUCCEEDED": 9, "FAILED": 0}, 1.0),
        ({"TOTAL": 4, "SUCCEEDED": -1, "FAILED": 0}, 0.0),
        ({"TOTAL": 0, "SUCCEEDED": 0, "FAILED": 0}, 0.0),
        ({"TOTAL": 4}, 0.0),
        ({"TOTAL": "four", "SUCCEEDED": "one", "FAILED": "none"}, 0.0),
        ("4", 0.0),
        (None, 0.0),
    ],
)
def test_progress_is_what_the_metrics_make_sense_of(metrics, done):
    assert dashscope_images._done({"task_metrics": metrics}) == done


@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        ({"image_count": 3}, 3),
        ({"image_count": 0}, 0),
        ({"image_count": -1}, 2),
        ({"image_count": 10**6}, 2),
        (None, 2),
    ],
)
def test_the_providers_count_of_images_counts_where_it_makes_sense(usage, billed):
    assert dashscope_images._billed({"usage": usage}, 2) == billed


# ── echo ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_is_a_valid_png_of_its_colour():
    picture = png(3, 2, b"\x01\x02\x03")

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        kind, content = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", picture, at + 8 + length)[0] == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (3, 2, 8, 2, 0, 0, 0)
    assert zlib.decompress(chunks[b"IDAT"]) == (b"\0" + b"\x01\x02\x03" * 3) * 2


def sides(size):
    made = EchoImages().make(ImagePrompt("echo", "a cat", size=size), a_cancellation(), lambda _: None)
    return struct.unpack_from(">II", made.images[0].content, 16)


@pytest.mark.parametrize(
    ("size", "made"), [(None, (256, 256)), ("32x16", (32, 16)), ("512x512", (512, 512)), ("1024x64", (512, 64))]
)
def test_echo_keeps_to_the_size_as_far_as_it_goes(size, made):
    assert sides(size) == made


def test_echo_paints_the_same_for_the_same_and_another_for_another():
    def paint(text, count=2):
        made = EchoImages().make(ImagePrompt("echo", text, count), a_cancellation(), lambda _: None)
        return [image.content for image in made.images]

    assert paint("a cat") == paint("a cat")
    assert len({*paint("a cat"), *paint("a dog")}) == 4


def test_echo_refuses_what_would_make_a_difference():
    for option in ("background", "output_format"):
        prompt = ImagePrompt("echo", "a cat", options={"quality": "high", option: "jpeg"})
        with pytest.raises(UnsupportedParameter) as refusal:
            EchoImages().make(prompt, a_cancellation(), lambda _: None)
        assert refusal.value.param == option
