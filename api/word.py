"""What may stand in the place of an id in a path."""

from typing import Any

from werkzeug.routing import Map, UnicodeConverter


class Word(UnicodeConverter):
    """Printable ASCII without blanks, as all our ids are: what a database would trim or fold never gets there."""

    def __init__(self, url_map: Map, **options: Any) -> None:
        super().__init__(url_map, **options)
        self.regex = "[!-.0-~]{1,}"


class ImageJobId(Word):
    """No other route below `/images`: what may be done with a job may not be done there."""

    def __init__(self, url_map: Map, **options: Any) -> None:
        super().__init__(url_map, **options)
        self.regex = f"(?!generations$){self.regex}"
