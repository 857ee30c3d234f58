"""A backend for matplotlib: what is shown, or left open, becomes a picture (in PNG).

It is known inside a sandbox alone, by the name `clew_figures`; `guest` takes the pictures from it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas

__all__ = ["FigureCanvas", "show", "take"]

FIGURES_MAX = 20

_pictures: list[bytes] = []


def show(*_: Any, **__: Any) -> None:
    """Draw what is open and close it; a later `show` would show it again."""
    for number in pyplot.get_fignums():
        picture = BytesIO()
        pyplot.figure(number).savefig(picture, format="png", bbox_inches="tight")
        _pictures.append(picture.getvalue())
    pyplot.close("all")


def take() -> list[bytes]:
    """The pictures since the last time."""
    show()
    taken, _pictures[:] = _pictures[:FIGURES_MAX], []
    return taken
