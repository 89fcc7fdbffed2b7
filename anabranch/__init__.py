"""What other services install, and what every room shares: messages, model bytes, Kafka, the follower."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anabranch.follower import Follower, follow

__all__ = ["Follower", "follow"]


def __getattr__(name: str) -> Any:
    # The follower brings River and librdkafka (a second of imports); messages and settings do not need them.
    if name in __all__:
        from anabranch import follower

        return getattr(follower, name)
    raise AttributeError(f"module 'anabranch' has no attribute {name!r}")


def __dir__() -> list[str]:
    # What is imported when it is first asked for is found by looking around as well.
    return sorted({*globals(), *__all__})
