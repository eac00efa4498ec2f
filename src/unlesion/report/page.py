"""Page: one HTML file that holds all it needs, and stays small enough to send by mail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from unlesion.files import write_text
from unlesion.report.colours import FOUND, TRUTH, css_gradient
from unlesion.report.gallery import Gallery, GalleryCase
from unlesion.report.numbers import number, percent, plain
from unlesion.report.tiles import contour_tile, data_uri, grey_tile, map_tile, mark_sides, png, tile_size
from unlesion.report.words import NOTICE, p_in_words, sides_in_words
from unlesion.wording import count

Item = TypeVar("Item")

# A page is refused beyond this size; pictures stop well before.
MOST_BYTES = 10_000_000
PICTURE_BYTES = 7_000_000


@dataclass
class Budget:
    """How many bytes of pictures a page may still take in."""

    left: int = PICTURE_BYTES

    def take(self, address: str) -> bool:
        """Whether a picture (as the address of an image) still fits; if so, it is counted."""
        if len(address) > self.left:
            return False
        self.left -= len(address)
        return True


@dataclass(frozen=True)
class Strip:
    """A case as a page draws it: tiles side by side and the words beside them."""

    key: str
    tiles: list[tuple[str, str]]
    facts: dict[str, str]


@dataclass(frozen=True)
class Group:
    """Cases under one heading."""

    title: str
    words: str
    strips: list[Strip]
    left_out: int = 0

    @property
    def even(self) -> bool:
        """Whether all strips have the same tiles, so that names above the first say enough."""
        return len({tuple(name for name, _ in strip.tiles) for strip in self.strips}) <= 1


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, from the middle of equal parts of the list."""
    if len(items) <= most:
        return list(items)
    return [items[int((number + 0.5) / most * len(items))] for number in range(most)]


def doubtful_first(
    doubtful: Sequence[Item], others: Sequence[Item], *, most: int, noun: str
) -> list[tuple[str, str, list[Item]]]:
    """Headings, their words and what stands under each: what has a warning, then others, as far as there are any."""
    parts = (
        ("With a warning", "What the warning says stands beside each.", doubtful),
        ("Others" if doubtful else noun, "Spread evenly over the cohort.", others),
    )
    return [(title, words, spread(items, most)) for title, words, items in parts if items]


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Fill a template and write it, whole or not at all; returns `path`."""
    text = render(template, **content)
    size = len(text.encode("utf-8"))
    if size > MOST_BYTES:
        raise ValueError(f"{path}: the page would have {size} bytes, more than {MOST_BYTES}")
    write_text(path, text)
    return path


def render(template: str, **content: Any) -> str:
    """Fill a template of this package; all text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("unlesion.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plain=plain, percent=percent, number=number, in_words=p_in_words, breakable=breakable
    )
    common = {
        "count": count,
        "notice": NOTICE,
        "gradient": css_gradient(),
        "truth_colour": TRUTH,
        "found_colour": FOUND,
    }
    return environment.get_template(template).render({**common, **content})


def breakable(key: str) -> Any:
    """A name that may be broken into lines after its slashes and underscores rather than anywhere."""
    from markupsafe import Markup, escape

    text = str(escape(key))
    return Markup(text.replace("/", "/<wbr>").replace("_", "_<wbr>"))


def strip_of(case: GalleryCase) -> Strip:
    """The tiles of a case: scan, pseudo-healthy, map, outlines."""
    size = tile_size(case.image.shape, spacing=case.spacing)
    tiles = [(scan_name(case), mark_sides(grey_tile(case.image, size), case.sides))]
    if case.healthy is not None:
        tiles.append(("pseudo-healthy", grey_tile(case.healthy, size)))
    tiles.append(("anomaly map", map_tile(case.anomaly, size)))
    tiles.append(("outlines", contour_tile(case.image, size, truth=case.truth, found=case.found)))
    return Strip(
        key=case.key, tiles=[(name, data_uri(png(tile))) for name, tile in tiles], facts=dict(case.facts)
    )


def scan_name(case: GalleryCase) -> str:
    """What the tile of a scan is called: with the channel that it shows, where there are several."""
    return f"scan ({case.channel})" if case.channel else "scan"


def group_of(title: str, words: str, cases: Iterable[GalleryCase], budget: Budget) -> Group | None:
    """Cases as a heading of a page, as far as the budget goes; None if there are none."""
    cases = list(cases)
    if not cases:
        return None
    strips = []
    for case in cases:
        strip = strip_of(case)
        if not budget.take("".join(address for _, address in strip.tiles)):
            break
        strips.append(strip)
    return Group(title, words, strips, left_out=len(cases) - len(strips))


def scale_words(gallery: Gallery | None) -> dict[str, str] | None:
    """What is printed at the colour bar, and which side of a picture is which."""
    if gallery is None:
        return None
    return {
        "name": "threshold ",
        "above": "above the threshold",
        **_scale(gallery),
        "sides": sides_in_words(case.sides for case in gallery.cases),
        "channels": "Of a scan of several channels the named one is drawn; the map is of all."
        if any(case.channel for case in gallery.cases)
        else "",
    }


def _scale(gallery: Gallery) -> dict[str, str]:
    middle = plain(gallery.threshold)
    if not gallery.calibrated:
        return {
            "name": "",
            "above": "found, as the files beside the maps say"
            if gallery.told
            else "above the middle of the scale, which is no threshold",
            "middle": middle,
            "top": plain(2 * gallery.threshold),
            "words": "Not calibrated: the middle of the scale is the 99th percentile of the first scan's map.",
        }
    if gallery.apart:
        return {
            "middle": "of its modality",
            "top": "twice that",
            "words": "Every modality has a scale of its own: blue stays below the threshold that at most 1 % of the voxels of "
            "its healthy calibration scans exceed, orange lies above it.",
        }
    return {
        "middle": middle,
        "top": plain(2 * gallery.threshold),
        "words": "The same scale for every map of this page: blue stays below the threshold that at most 1 % of the "
        "voxels of healthy calibration scans exceed, orange lies above it.",
    }
