"""Makers of images against servers that do what real ones do at their worst."""

from dataclasses import replace
from time import monotonic

import gevent
import pytest

from adapters.ai import results
from adapters.ai.catalog import known_profiles
from adapters.ai.dashscope_images import DashScopeImages
from adapters.ai.deadlines import Deadlines
from adapters.ai.openai_compatible import OpenAIWire
from adapters.ai.profile import ImageRules, Link, Profile
from adapters.ai.transport import Transport
from domain import errors, provider_errors
from domain.image import ImagePrompt
from domain.usage import Source, Usage
from tests.contracts.image_maker import ImageMakerContract, a_cancellation, made
from tests.fakes import RecordingRecorder
from tests.servers.scripted_images import GIF, JPEG, PICTURE, WEBP
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("image-makers")

DEADLINES = Deadlines(connect=1, headers=2, first_token=2, idle=2, heartbeat=0.2)
KEY = "sk-upstream-0123456789"
PROFILES = known_profiles()
LOST = (
    "svg",
    "html",
    "lying",
    "huge",
    "long",
    "redirect",
    "expired",
    "gzip",
    "cut",
    "elsewhere",
    "metadata",
    "file",
    "nowhere",
)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    provider = ScriptedProvider(tmp_path_factory.mktemp("upstream")).run()
    yield provider
    provider.stop()


@pytest.fixture
def link(upstream):
    transport = Transport(upstream.base_url, DEADLINES)
    yield Link(transport, KEY, RecordingRecorder(), DEADLINES.heartbeat)
    transport.close()


@pytest.fixture
def native(upstream):
    """A link as it is configured for chat in DashScope's compatible mode."""
    transport = Transport(f"{upstream.root}/compatible-mode/v1", DEADLINES)
    yield Link(transport, KEY, RecordingRecorder(), DEADLINES.heartbeat)
    transport.close()


@pytest.fixture
def openai(link):
    return OpenAIWire().images(Profile("scripted", ""), link)


@pytest.fixture
def dashscope(native):
    return DashScopeImages(native, PROFILES["qwen"].images, first_pause=0.01)


class TestOpenAIImages(ImageMakerContract):
    good, slow = "picture", "picture-slow-0.2"

    @pytest.fixture
    def maker(self, openai):
        return openai


class TestImagesByAddress(ImageMakerContract):
    good = slow = "picture-url"

    @pytest.fixture
    def maker(self, link):
        return OpenAIWire().images(PROFILES["siliconflow"], link)


class TestDashScopeImages(ImageMakerContract):
    good = slow = "task"

    @pytest.fixture
    def maker(self, dashscope):
        return dashscope


def test_a_profile_without_images_has_no_maker_of_them(link):
    assert OpenAIWire().images(Profile("scripted", "", images=None), link) is None
    assert isinstance(OpenAIWire().images(PROFILES["qwen"], link), DashScopeImages)


# ── OpenAI's wire ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_image_comes_along_with_the_answer_and_with_what_was_made_of_the_prompt(openai, upstream):
    upstream.forget()
    images, told = made(openai, "picture", options={"quality": "high", "background": "opaque"}, size="64x64", user="me")

    (image,) = images.images
    assert (image.content, image.media_type, image.revised_prompt) == (PICTURE, "image/png", "a cat, in oil")
    assert told == [1.0]
    bill = upstream.bill("req_picture")
    assert bill["payload"] == {
        "model": "picture",
        "prompt": "a cat",
        "n": 1,
        "size": "64x64",
        "quality": "high",
        "background": "opaque",
        "user": "me",
        "response_format": "b64_json",
    }
    assert bill["headers"]["authorization"] == f"Bearer {KEY}"


def test_a_model_that_knows_only_base64_is_not_asked_for_it(link, upstream):
    upstream.forget()
    rules = replace(PROFILES["openai"].images, base64_unasked=("picture",))
    made(OpenAIWire().images(Profile("scripted", "", images=rules), link), "picture-tokens")

    assert "response_format" not in upstream.bill("req_picture-tokens")["payload"]


def test_tokens_are_counted_where_the_provider_counts_them(openai):
    images, _ = made(openai, "picture-tokens", 5)

    assert images.usage == Usage(input=18, output=500, images=5, source=Source.PROVIDER)


def test_many_images_are_ordered_in_portions(openai, upstream):
    upstream.forget()
    _, told = made(openai, "picture", 10)

    assert [bill["payload"]["n"] for bill in upstream.bills()] == [4, 4, 2]
    assert told == [0.4, 0.8, 1.0]


def test_a_model_that_makes_one_at_a_time_is_asked_that_often(link, upstream):
    upstream.forget()
    rules = ImageRules(singly=("picture",))
    images, _ = made(OpenAIWire().images(Profile("scripted", "", images=rules), link), "picture", 3)

    assert [bill["payload"]["n"] for bill in upstream.bills()] == [1, 1, 1]
    assert len(images.images) == 3


def test_those_that_call_it_otherwise_are_asked_in_their_words(link, upstream):
    upstream.forget()
    maker = OpenAIWire().images(PROFILES["siliconflow"], link)
    images, _ = made(maker, "picture", 2, size="1024x1024", options={"seed": 7}, user="somebody")

    assert upstream.bill("req_picture")["payload"] == {
        "model": "picture",
        "prompt": "a cat",
        "batch_size": 2,
        "image_size": "1024x1024",
        "seed": 7,
    }
    assert [image.content for image in images.images] == [PICTURE, PICTURE]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("400", provider_errors.UpstreamRejected),
        ("401", provider_errors.UpstreamAuth),
        ("429-ra-2", provider_errors.UpstreamRateLimited),
        ("500", provider_errors.UpstreamFailed),
        ("picture-none", provider_errors.UpstreamBadContent),
        ("picture-garbled", provider_errors.UpstreamResultLost),
        ("picture-slow-9", provider_errors.UpstreamTimeout),
    ],
)
def test_a_refusal_says_what_it_is(openai, model, error):
    with pytest.raises(error):
        made(openai, model)


def test_what_was_made_before_a_failure_is_not_thrown_away(openai):
    images, _ = made(openai, "picture-second-fails", 6)

    assert (len(images.images), images.usage.images) == (4, 4)


def test_what_can_be_had_of_several_is_had_and_all_are_billed(link):
    rules = ImageRules(per_request=4)
    images, _ = made(OpenAIWire().images(Profile("scripted", "", images=rules), link), "picture-partly", 2)

    assert (len(images.images), images.usage.images) == (1, 2)


def test_an_order_that_is_cancelled_ends_at_once_and_owes_what_was_made(openai):
    cancellation = a_cancellation()
    gevent.spawn_later(0.3, cancellation.cancel, errors.ClientGone())
    began = monotonic()

    with pytest.raises(errors.ClientGone):
        openai.make(ImagePrompt("picture-slow-1.9", "a cat"), cancellation, lambda _: None)

    assert monotonic() - began < 1.5
    assert cancellation.counted is None


# ── results at an address ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [("png", PICTURE, "png"), ("jpeg", JPEG, "jpeg"), ("gif", GIF, "gif"), ("webp", WEBP, "webp")],
)
def test_a_result_is_fetched_and_is_what_its_bytes_say(openai, name, content, kind):
    (image,) = made(openai, f"picture-at-{name}")[0].images

    assert (image.content, image.media_type) == (content, f"image/{kind}")


def test_no_credential_goes_to_the_place_of_a_result(openai, upstream):
    upstream.forget()
    made(openai, "picture-url")

    (fetch,) = upstream.told()["fetches"]
    assert fetch["path"] == "/results/png?Expires=1&Signature=s%2Bx"
    assert fetch["headers"].keys() == {
        *("host", "accept-encoding", "accept", "user-agent", "x-request-id", "content-length")
    }
    assert KEY not in str(fetch)


def test_no_more_results_are_fetched_than_were_ordered(openai, dashscope, upstream):
    for maker, model in ((openai, "picture-many-50"), (dashscope, "task-many")):
        upstream.forget()
        images, _ = made(maker, model, 2)

        fetched = [fetch for fetch in upstream.told()["fetches"] if "/results/" in fetch["path"]]
        assert (len(images.images), len(fetched)) == (2, 2)


@pytest.mark.parametrize("name", LOST)
def test_a_result_that_is_no_image_or_is_out_of_bounds_is_lost(openai, upstream, name):
    upstream.forget()
    with pytest.raises(provider_errors.UpstreamResultLost) as lost:
        made(openai, f"picture-at-{name}")

    assert not lost.value.retryable, "it would be bought twice"
    assert "Signature" not in lost.value.message
    fetched = [fetch["path"].partition("?")[0] for fetch in upstream.told()["fetches"]]
    outside = name in {"elsewhere", "metadata", "file", "nowhere"}
    assert set(fetched) == (set() if outside else {f"/results/{name}"})


def test_a_public_provider_cannot_send_us_to_this_machine(upstream):
    """It is configured at a public address, and tells a private one."""
    transport = Transport("https://api.example.com/v1", DEADLINES)
    fetching = results.Results(Link(transport, KEY, RecordingRecorder(), 1))
    upstream.forget()

    for url in (
        f"{upstream.root}/results/png",
        f"http://localhost:{upstream.port}/results/png",
        f"https://127.0.0.1:{upstream.port}/results/png",
        "https://[::1]/result.png",
        "https://ollama/result.png",
        "https://10.0.0.7/result.png",
    ):
        with pytest.raises(provider_errors.UpstreamResultLost, match="private network"):
            fetching.fetch(url, a_cancellation())
    for url in (
        f"http://user@127.0.0.1:{upstream.port}/results/png",
        "http://metadata.google.internal/result.png",
        "http://example.com:8080/result.png",
        "ftp://example.com/result.png",
        "https://example.com/a b.png",
        "https://example.com/ä.png",
        "https://example.com:99999/x.png",
    ):
        with pytest.raises(provider_errors.UpstreamResultLost):
            fetching.fetch(url, a_cancellation())

    assert upstream.told()["fetches"] == []


# ── DashScope ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_is_made_in_its_own_words_and_followed_to_its_end(dashscope, upstream):
    upstream.forget()
    images, told = made(
        dashscope, "task", 3, size="1024x768", options={"negative_prompt": "dogs", "seed": 7, "prompt_extend": False}
    )

    bill = upstream.bill("req_task")
    assert bill["payload"] == {
        "model": "task",
        "input": {"prompt": "a cat", "negative_prompt": "dogs"},
        "parameters": {"seed": 7, "prompt_extend": False, "size": "1024*768", "n": 3},
    }
    assert bill["headers"]["x-dashscope-async"] == "enable"
    assert bill["headers"]["authorization"] == f"Bearer {KEY}"
    asked = [fetch for fetch in upstream.told()["fetches"] if "/api/v1/tasks/" in fetch["path"]]
    assert len(asked) == 4
    assert {fetch["headers"]["authorization"] for fetch in asked} == {f"Bearer {KEY}"}
    assert told == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert [image.revised_prompt for image in images.images] == ["in oil"] * 3
    assert images.usage == Usage(images=3, source=Source.PROVIDER)


def test_those_that_could_not_be_made_are_not_paid(dashscope):
    images, _ = made(dashscope, "task-partly", 3)

    assert (len(images.images), images.usage.images) == (2, 2)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("task-failed", provider_errors.UpstreamFailed),
        ("task-inspected", provider_errors.ContentFiltered),
        ("task-canceled", provider_errors.UpstreamFailed),
        ("task-unknown", provider_errors.UpstreamResultLost),
        ("task-odd", provider_errors.UpstreamResultLost),
        ("task-empty", provider_errors.UpstreamResultLost),
        ("task-lost", provider_errors.UpstreamResultLost),
        ("task-nameless", provider_errors.UpstreamBadJson),
        ("task-at-expired", provider_errors.UpstreamResultLost),
        ("task-at-svg", provider_errors.UpstreamResultLost),
    ],
)
def test_a_task_that_fails_is_made_once_and_owed_by_nobody(dashscope, upstream, model, error):
    upstream.forget()
    cancellation = a_cancellation()
    with pytest.raises(error) as raised:
        dashscope.make(ImagePrompt(model, "a cat", 2), cancellation, lambda _: None)

    if error is provider_errors.UpstreamResultLost:
        assert not raised.value.retryable, "it may have been made, and would be bought twice"
    assert len(upstream.bills()) == 1
    assert cancellation.counted is None


def test_a_task_out_of_sight_for_a_moment_is_waited_for(dashscope, upstream):
    upstream.forget()
    images, _ = made(dashscope, "task-blind")

    assert len(images.images) == 1
    assert len(upstream.bills()) == 1


def test_who_leaves_a_task_owes_what_the_provider_bills_for_it(dashscope):
    cancellation = a_cancellation()
    gevent.spawn_later(0.3, cancellation.cancel, errors.StoppedByUser())
    began = monotonic()

    with pytest.raises(errors.StoppedByUser):
        dashscope.make(ImagePrompt("task-forever", "a cat", 2), cancellation, lambda _: None)

    assert monotonic() - began < 2
    assert cancellation.counted == Usage(images=2, source=Source.ESTIMATED)


def test_a_task_does_not_take_longer_than_a_call_may(dashscope):
    with pytest.raises(provider_errors.UpstreamTotalTimeout):
        dashscope.make(ImagePrompt("task-forever", "a cat"), a_cancellation(0.5), lambda _: None)
