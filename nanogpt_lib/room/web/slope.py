"""A slider over one weight: the loss, its slope, and which way is down."""

import math

from nanogpt_lib.room.web.frames import Framed, small


def slope_slider(weights, losses, slopes, name: str = "weight", height: int = 380) -> Framed:
    """The loss over one weight, and its slope where the slider stands.

    weights: numbers in ascending order. losses, slopes: one of each for every weight, in nats and
    in nats for each unit of the weight. name: what the weight is. Raises ValueError if they are
    not as many, not finite, or not in order.
    """
    weights, losses, slopes = ([float(n) for n in part] for part in (weights, losses, slopes))
    sound = all(map(math.isfinite, (*weights, *losses, *slopes)))
    if not len(weights) == len(losses) == len(slopes) > 1 or not sound:
        raise ValueError("as many finite losses and slopes as weights are needed, two or more")
    if sorted(set(weights)) != weights:
        raise ValueError("the weights must be in ascending order, each of them once")
    best = min(range(len(losses)), key=losses.__getitem__)
    seen = f"The loss over one weight: lowest, {losses[best]:.2f}, where it is {weights[best]:.1f}."
    call = (
        'slope(document.getElementById("root"), data.weights, data.losses, data.slopes, data.name);'
    )
    data = {"weights": weights, "losses": losses, "slopes": slopes, "name": name}
    return small("slope.js", call, data, height, seen)
