"""A simulated audience: users with tastes, items of genres, and what is taken of what is shown; drawn from one seed.

It stands in for recorded feedback, which is not ours to ship. What is popular differs from what each user likes, so a
ranker that learns tastes beats popularity; how far it does is no forecast for anybody's own users.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np


class Feedback(NamedTuple):
    """What one user made of one item."""

    request: int
    """The same for all items that were shown together."""
    x: dict[str, Any]
    y: float


class Audience:
    """Users who like two genres each and take the more popular items of these more often.

    Args:
        seed: of everything.
        users, items, genres: how many there are.
        curious: how much less than their own genres, times five, users like the others.
        bored: what taking nothing of a list weighs beside its items; one that a user likes, and sees, weighs 1.
    """

    def __init__(
        self,
        *,
        seed: int,
        users: int = 300,
        items: int = 400,
        genres: int = 12,
        curious: float = 0.2,
        bored: float = 0.05,
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.genre = self.random.integers(genres, size=items)
        self.appeal = 1.0 / (1.0 + self.random.permutation(items)) ** 0.8
        self.likes = np.array([self.random.choice(genres, size=2, replace=False) for _ in range(users)])
        self.curious = curious
        self.bored = bored

    def takes(self, events: int) -> Iterator[Feedback]:
        """Takes alone, without the lists that were shown, each item once a user: as a log of likes has them."""
        taken: dict[int, set[int]] = {}
        for request in range(events):
            user = int(self.random.integers(len(self.likes)))
            weights = self._interest(user) * self.appeal
            weights[list(taken.setdefault(user, set()))] = 0.0
            item = int(self.random.choice(len(weights), p=weights / weights.sum()))
            taken[user].add(item)
            if len(taken[user]) > len(weights) // 2:
                taken[user].clear()
            yield Feedback(request, {"user": f"u{user}", "item": f"i{item}"}, 1.0)

    def lists(self, requests: int, *, n: int = 8) -> Iterator[Feedback]:
        """Lists of `n` items, drawn by their appeal; of each item whether the user took it."""
        for request in range(requests):
            user = int(self.random.integers(len(self.likes)))
            shown = self.random.choice(len(self.genre), size=n, replace=False, p=self.appeal / self.appeal.sum())
            taken = self.choice(user, shown)
            names = " ".join(f"i{each}" for each in shown)
            for item in shown:
                x = {"user": f"u{user}", "item": f"i{item}", "item_genre": f"g{self.genre[item]}", "shown": names}
                yield Feedback(request, x, float(item == taken))

    def pages(
        self, rank: Callable[[str], list[str]], requests: int, *, explore: float, n: int = 8
    ) -> Iterator[Feedback]:
        """Lists of `n` items as a scorer answers them: `rank`'s, but for a share of them drawn from all items.

        Args:
            rank: of a user, the names of the `n` best.
            explore: that share (`score.explore`); each item comes with the `propensity` that the scorer would tell.
        """
        names = [f"i{item}" for item in range(len(self.genre))]
        for request in range(requests):
            user = int(self.random.integers(len(self.likes)))
            own = rank(f"u{user}")
            is_explored = self.random.random() < explore
            shown = self.random.choice(names, size=n, replace=False).tolist() if is_explored else own
            taken = self.choice(user, [int(name[1:]) for name in shown])
            for name in shown:
                propensity = explore * n / len(names) + (1 - explore) * (name in own)
                x = {"user": f"u{user}", "item": name, "item_genre": f"g{self.genre[int(name[1:])]}"}
                x |= {"shown": " ".join(shown), "propensity": propensity}
                yield Feedback(request, x, float(name == f"i{taken}"))

    def choice(self, user: int, shown: Any) -> int | None:
        """Which of the items the user takes, if any; what stands further down is seen more seldom."""
        seen = self.random.random(len(shown)) < 1.0 / np.log2(2.0 + np.arange(len(shown))) ** 0.5
        chances = np.where(seen, self._interest(user)[shown], 0.0) ** 2
        chances = np.append(chances, self.bored)
        taken = int(self.random.choice(len(chances), p=chances / chances.sum()))
        return None if taken == len(shown) else int(shown[taken])

    def _interest(self, user: int) -> Any:
        return np.where(np.isin(self.genre, self.likes[user]), 1.0, self.curious / 5)
