"""Why a record may not reach the lane."""


class Refused(Exception):
    """A record that may not reach the lane; caught by the guard itself."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


def named(value: object) -> str:
    """What kind of JSON a value is."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names[type(value)]
