"""Which of a configuration's models is meant: the one of all partitions, or that of one partition.

>>> GLOBAL.is_global, of_partition(3), of_partition(3).number, of_partition(3).within("fraud", "/")
(True, 'p3', 3, 'fraud/p3')
"""


class Scope(str):
    """A text: "global", or "p3" for the model of partition 3; the same on the wire and as a key.

    Raises:
        ValueError: a text that is neither.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "Scope":
        """Checked once, so that nobody has to check it later."""
        if text != "global" and not (text[:1] == "p" and text[1:].isdecimal()):
            raise ValueError(f"a scope is 'global' or 'p3', not {text!r}")
        return super().__new__(cls, text)

    @property
    def is_global(self) -> bool:
        """Whether it is the one model of all partitions."""
        return self == "global"

    @property
    def number(self) -> int | None:
        """The number of its partition; None for the model of all."""
        return None if self.is_global else int(self[1:])

    @property
    def setting(self) -> str:
        """What `scope` is in a configuration that has such a model."""
        return "global" if self.is_global else "partition"

    def within(self, model: str, between: str) -> str:
        """The model's name, and the scope after it where the name alone would not do."""
        return model if self.is_global else f"{model}{between}{self}"


GLOBAL = Scope("global")


def of_partition(number: int) -> Scope:
    """The model of one partition."""
    return Scope(f"p{number}")
