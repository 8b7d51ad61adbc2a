"""One colour per person, the same in every file that shows a film: page, panel and subtitles.

The first seven are Okabe and Ito's, chosen so that colour-blind people tell them apart
(https://jfly.uni-koeln.de/color/), with a slightly deeper yellow; the next are of Paul Tol's
"muted" scheme (https://sronpersonalpages.nl/~pault/). From the sixteenth person on colours are made by turning the
hue by the golden angle: no two are equal, but names have to help.
"""

from __future__ import annotations

import colorsys

COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#e8dc32",
    "#882255",
    "#44aa99",
    "#6657c8",
    "#999933",
    "#aa4499",
    "#cc6677",
    "#117733",
    "#a9744f",
)
"""Of the persons that speak most."""
OFF_SCREEN = "#8a8f98"
"""Of whoever is heard and not seen: the same grey in light and dark."""
_GOLDEN_TURN = 0.618034


def colour_of(order: int) -> str:
    """The colour ``#rrggbb`` of the person at this place of :attr:`Conversation.persons`, from 0."""
    if order < len(COLOURS):
        return COLOURS[order]
    turn = order - len(COLOURS)
    lightness = (0.45, 0.62, 0.53)[turn % 3]
    red, green, blue = colorsys.hls_to_rgb(turn * _GOLDEN_TURN % 1.0, lightness, 0.55)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` as red, green and blue, 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def ink_on(colour: str) -> str:
    """Black or white: which of them is read better on a colour (WCAG's contrast)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in rgb_of(colour))
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
