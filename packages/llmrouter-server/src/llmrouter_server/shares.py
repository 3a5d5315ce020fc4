"""Places that many want, shared so that whoever holds many leaves some to the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

# Who holds places gets another while it holds less than so many times those that would be left.
_FACTOR = 4


class Shares:
    """Places, of which each owner may hold a part that shrinks as fewer are free.

    One owner alone gets about four fifths of the places, and any number of greedy owners together leave some:
    the first place of a newcomer is always granted while one is free.

    Attributes:
        taken: Places that are taken.
    """

    def __init__(self) -> None:
        self.taken = 0
        self._held: Counter[Hashable] = Counter()

    def may_take(self, places: int, owners: tuple[Hashable, ...]) -> bool:
        """Whether one place more may be taken.

        Args:
            places: How many there are in all.
            owners: Who takes it, as a key and its organisation; none: whoever comes gets all there are.
        """
        free = places - self.taken
        if free <= 0:
            return False
        held = self._held
        return all(held[owner] < _FACTOR * (free - 1) or not held[owner] for owner in owners)

    def take(self, owners: tuple[Hashable, ...]) -> None:
        """Take a place."""
        self.taken += 1
        for owner in owners:
            self._held[owner] += 1

    def give_back(self, owners: tuple[Hashable, ...]) -> None:
        """Give a place back that was taken for the same owners."""
        self.taken -= 1
        for owner in owners:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
