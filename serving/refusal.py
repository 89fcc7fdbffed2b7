"""A request that is not answered: with which status, why, and which field is to blame."""

from collections.abc import Mapping


class Refusal(Exception):
    """Raised anywhere on a request's way; the application makes the response of it.

    Args:
        status: of HTTP.
        text: what is wrong and what to do, for people.
        field: the place in the body, as `features.amount`; empty where no field is to blame.
        headers: of the response.
    """

    def __init__(self, status: int, text: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.reason = text
        self.text = f"{field}: {text}" if field else text
        super().__init__(self.text)
        self.field = field
        self.headers = dict(headers or {})
