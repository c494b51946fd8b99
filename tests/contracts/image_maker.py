"""What every `ImageMaker` keeps, whatever is behind it."""

from time import monotonic

import pytest

from adapters.ai.results import media_type_of
from application.cancellation import Cancellation
from domain import errors
from domain.image import ImagePrompt
from domain.usage import Source


def a_cancellation(seconds: float = 20) -> Cancellation:
    return Cancellation(seconds, monotonic)


def made(maker, model, count=1, text="a cat", **fields):
    told = []
    prompt = ImagePrompt(model, text, count, request_id=f"req_{model}", **fields)
    return maker.make(prompt, a_cancellation(), told.append), told


class ImageMakerContract:
    """Subclass it, name a model that makes images and one that takes its time, and give it a `maker` fixture."""

    good: str
    slow: str

    @pytest.mark.parametrize("count", [1, 3])
    def test_as_many_as_were_ordered_are_made(self, maker, count):
        images, _ = made(maker, self.good, count)

        assert len(images.images) == count
        assert images.usage.images == count

    def test_an_image_is_what_its_type_says(self, maker):
        images, _ = made(maker, self.good)

        assert all(image.media_type == media_type_of(image.content) for image in images.images)

    def test_the_provider_counts(self, maker):
        assert made(maker, self.good)[0].usage.source is Source.PROVIDER

    def test_progress_never_goes_back_and_stays_within_its_bounds(self, maker):
        _, told = made(maker, self.slow, 2)

        assert told == sorted(told)
        assert all(0.0 <= step <= 1.0 for step in told)

    def test_a_size_is_accepted(self, maker):
        assert made(maker, self.good, size="64x48")[0].images

    def test_a_parameter_that_is_not_documented_is_refused_by_name(self, maker):
        with pytest.raises(errors.UnsupportedParameter) as refusal:
            made(maker, self.good, options={"warp_factor": 9})

        assert refusal.value.param == "warp_factor"

    def test_a_call_that_is_cancelled_already_raises_the_reason(self, maker):
        cancellation = a_cancellation()
        cancellation.cancel(errors.StoppedByUser())

        with pytest.raises(errors.StoppedByUser):
            maker.make(ImagePrompt(self.good, "a cat"), cancellation, lambda _: None)
