"""What nobody claimed, given to those who did: in proportion to what each claimed, to the last base unit."""

from collections.abc import Mapping


def largest_remainder(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """A total in proportion to whole weights: floors, and one unit more for the largest remainders, ties by address. They add up to it.

    Where all weights are 0, nobody gets anything, and the total remains.
    """
    whole = sum(weights.values())
    if not whole:
        return dict.fromkeys(weights, 0)
    parts = {one: divmod(total * weight, whole) for one, weight in weights.items()}
    left = total - sum(floor for floor, _ in parts.values())
    first = set(sorted(parts, key=lambda one: (-parts[one][1], one))[:left])
    return {one: floor + (one in first) for one, (floor, _) in parts.items()}
