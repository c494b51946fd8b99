"""Images: made by a provider, kept as files of the caller."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from application.call import Call
from application.cancellation import Cancellation
from application.contention import patiently
from application.file_store import Blobs
from application.files import require_owner
from application.generation import Generation
from application.generations import Generations
from application.model_ports import Deployment, ImageMaker, Plan
from application.order import Order, Outcome
from application.ports import Clock, NewId
from application.routing import Router
from application.store import Begin
from domain.errors import UnsupportedParameter
from domain.image import ImagePrompt, Images, MadeImage
from domain.provider_errors import UpstreamBadContent
from domain.stored_file import Purpose, StoredFile
from domain.usage import Source, Usage
from domain.user import Principal, Scope

_ROOM = 8 << 20
"""Bytes for an image, of which most have a quarter: nothing is bought that there is no room for."""
_RETRIES = 2
"""After DatabaseBusy: what was bought is not given up for that."""
_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}

Progress = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class ImageOrder:
    """`size` is `WIDTHxHEIGHT`, None for the model's own; `options` are the provider's further parameters."""

    model: str
    text: str
    count: int = 1
    size: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image, and the file that it is kept as."""

    image: MadeImage
    file: StoredFile


@dataclass(frozen=True, slots=True)
class Made:
    """What a provider made for one order, kept. It may be fewer than were ordered; what is billed is what it made."""

    images: Sequence[KeptImage]
    usage: Usage


@dataclass(frozen=True, slots=True)
class ImageStudio:
    """What waiting for images and having them made in the background have in common."""

    router: Router
    generations: Generations
    begin: Begin
    blobs: Blobs
    clock: Clock
    new_id: NewId

    def order(self, principal: Principal, order: ImageOrder) -> Order:
        """Raises what `ImageService.make` raises before anything is admitted."""
        principal.require(Scope.IMAGES)
        principal.require_person()
        plan = self._plan(principal, order)
        self.blobs.require_room(order.count * _ROOM)
        tokens = max(at.card.max_output or 0 for at in plan.deployments) * order.count
        messages = [{"role": "user", "content": order.text}]
        options = dict(order.options) if order.user is None else {**order.options, "user": order.user}
        return Order(principal, plan, order.model, messages, options, output_tokens=tokens, images=order.count)

    def _plan(self, principal: Principal, order: ImageOrder) -> Plan:
        """Of those that document every parameter. Who finds none learns which one is too much for the first."""
        given = order.options.keys()
        try:
            return self.router.offering(
                principal, order.model, lambda it: it.images if given <= it.image_options else None, "images"
            )
        except UnsupportedParameter:
            first = self.router.offering(principal, order.model, lambda it: it.images, "images").first
        option = next(name for name in order.options if name not in first.image_options)
        raise UnsupportedParameter(
            f"{first.provider} does not document the parameter {option} of images.", param=option
        )

    def deliver(self, order: ImageOrder, generation: Generation, progress: Progress) -> Outcome[Made]:
        """The images are kept before the call is settled: nobody pays for what nobody can get."""

        def ask(deployment: Deployment, cancellation: Cancellation) -> Made:
            maker = cast("ImageMaker", deployment.images)  # the plan is of those that have one
            images = maker.make(_prompt(order, deployment, generation), cancellation, progress)
            cancellation.counted = _counted(images)
            shown = [self._shown(image) for image in images.images]
            cancellation.counted = None  # from here on it is our fault when they are lost
            return Made(self._kept(shown, generation), _counted(images))

        return self.generations.deliver(generation, ask)

    def _shown(self, image: MadeImage) -> MadeImage:
        revised = image.revised_prompt
        return image if revised is None else replace(image, revised_prompt=self.generations.guardrails.beside(revised))

    def _kept(self, images: Sequence[MadeImage], generation: Generation) -> list[KeptImage]:
        if not images:
            raise UpstreamBadContent("The provider answered without an image.")
        user_id, request_id = generation.order.principal.user_id, generation.call.request_id
        kept = [KeptImage(image, self._stored(image, user_id, request_id)) for image in images]
        patiently(lambda: self._add(kept, user_id), retries=_RETRIES)
        return kept

    def _add(self, kept: Sequence[KeptImage], user_id: str) -> None:
        with self.begin() as work:
            require_owner(work, user_id)
            for it in kept:
                work.files.add(it.file)

    def _stored(self, image: MadeImage, user_id: str, request_id: str) -> StoredFile:
        blob = self.blobs.put(image.content)
        file_id = self.new_id("file")
        return StoredFile(
            id=file_id,
            user_id=user_id,
            purpose=Purpose.IMAGE,
            name=f"{file_id}.{_SUFFIXES[image.media_type]}",
            media_type=image.media_type,
            size=len(image.content),
            sha256=hashlib.sha256(image.content).hexdigest(),
            blob=blob,
            created_at=self.clock.now(),
            request_id=request_id,
        )


@dataclass(frozen=True, slots=True)
class ImageService:
    """Makes images while the caller waits.

    A key that a team shares acts for nobody in person, and the files have to belong to somebody: it makes none.
    """

    studio: ImageStudio

    def make(self, principal: Principal, order: ImageOrder, call: Call) -> Outcome[Made]:
        """Raises UnknownModel, ModelNotAllowed, UnsupportedParameter, StorageFull and ProviderErrors.

        Raises RateLimited, BudgetExceeded, ModelUnpriced and Unavailable before anything is sent to a provider.
        """
        generation = self.studio.generations.open(self.studio.order(principal, order), call)
        return self.studio.deliver(order, generation, _unheard)


def _prompt(order: ImageOrder, deployment: Deployment, generation: Generation) -> ImagePrompt:
    """The text, the options and the user are what the guardrails left of them."""
    (message,), given = generation.order.messages, generation.order.options
    options = {name: given[name] for name in order.options}
    prompt = ImagePrompt(deployment.name, message["content"], order.count, order.size, options, given.get("user"))
    return replace(prompt, request_id=generation.call.request_id)


def _counted(images: Images) -> Usage:
    return images.usage or Usage(images=len(images.images), source=Source.ESTIMATED)


def _unheard(_progress: float) -> None:
    """Whoever waits for the whole is told nothing on the way."""
