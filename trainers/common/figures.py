"""Save figures and animations atomically, and draw the mean of several seeds with its interval."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.common.intervals import INTERVAL, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
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


def label_clipped(axis: "Axis", low: float) -> None:
    """Label a logarithmic axis at whose lower end `low` everything below is drawn, which it says."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{'≤ ' if value <= low else ''}{value:,g}"))


def draw_seeds(axes: "Axes", steps: Sequence[float], curves: Sequence[Sequence[float]], **style: Any) -> None:
    """Draw the mean of one or more curves of equal length, and the 95 % interval of several as a band.

    Args:
        style: Of the line of the mean; its colour is that of the band and of the thin lines, one for each seed.
    """
    stated = [mean_interval(values) for values in zip(*curves, strict=True)]
    mean, low, high = ([of[part] for of in stated] for part in INTERVAL[1:])
    (line,) = axes.plot(steps, mean, **style)
    if len(curves) > 1:
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, lw=0)
        for curve in curves:
            axes.plot(steps, curve, color=line.get_color(), lw=0.7, alpha=0.4)
