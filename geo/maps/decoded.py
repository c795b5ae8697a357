"""Map the places that a probe decodes, in the colours of the continents."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geo.continents import CONTINENTS, INVENTED
from geo.maps.base import world_map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#d97706", "#c53030", "#2b6cb0", "#2f855a", "#0e7490", "#6b46c1", "#db2777")  # in the order of CONTINENTS
OTHER = "#8c9196"


def decoded_map(
    decoded_deg: NDArray[np.float64], continents: Sequence[str], title: str | None = None, caption: str | None = None
) -> "Figure":
    """Draw the decoded places.

    Args:
        decoded_deg: Latitude and longitude that a probe gives to each city, (n, 2) in degrees.
        continents: Where each city really is (`geo.continents`): its dot's colour; invented cities are stars.
        title, caption: Texts above the map, if any.
    """
    figure, axes = world_map(title, caption)
    names = np.asarray(continents)
    rad = np.radians(decoded_deg)
    for name, colour in [*zip(CONTINENTS, COLOURS, strict=True), ("unknown", OTHER)]:
        chosen = names == name
        if chosen.any():
            marker, size = ("*", 22) if name == INVENTED else ("o", 5)
            axes.scatter(
                rad[chosen, 1], rad[chosen, 0], s=size, color=colour, marker=marker, linewidths=0, alpha=0.8, label=name
            )
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, -0.06), fontsize=7, frameon=False, markerscale=1.5)
    return figure
