"""Save figures and animations atomically."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FRAME_MS, _LAST_FRAME_MS = 500, 3_000


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a PNG to a temporary file, then rename it, so that a viewer never opens half a picture."""
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, format="png")
    partial.replace(path)


def save_animation(figures: "Sequence[Figure]", path: Path) -> None:
    """Write one or more figures of one size as a GIF that plays for ever: half a second each, the last one longer."""
    from PIL import Image

    frames = []
    for figure in figures:
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=70)
        frames.append(Image.open(buffer).convert("P", palette=Image.Palette.ADAPTIVE))
    partial = path.with_name(f".{path.name}")
    durations_ms = [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS]
    frames[0].save(partial, format="GIF", save_all=True, append_images=frames[1:], duration=durations_ms, loop=0)
    partial.replace(path)
