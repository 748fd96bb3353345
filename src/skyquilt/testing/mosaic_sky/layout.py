"""Where each device puts the frames of a mosaic, and what their headers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from skyquilt.core import F32, U16, SkyGrid
from skyquilt.testing.mosaic_sky.scenario import MosaicScenario
from skyquilt.testing.mosaic_sky.truth import MosaicFrame
from skyquilt.testing.sky import DEVICES, Card, Scenario, light_cards, structure_cards
from skyquilt.testing.sky.devices import light_paths, shots_info

__all__ = ["mosaic_cards", "mosaic_paths", "panel_camera", "panel_shots_info", "wcs_cards"]

_ARCSEC_PER_RADIAN = 206264.806


def mosaic_paths(scenario: MosaicScenario, folder: Path, starts: Sequence[datetime]) -> list[Path]:
    """
    Return where the frames lie below `folder`, one path a start of exposure.

    Seestar: ``MyWorks/<target>_mosaic_sub/Light_mosaic_...``, or a folder a panel as seestar_alp has it. DWARF: an
    outer folder ``DWARF_RAW_TELE_MOSAIC_...``, and inside one session a panel, its number in the target's name.
    Generic: ``lights``, or ``Panel_1/lights`` and so on.
    """
    if scenario.layout == "mixed":
        return light_paths(_in_mosaic_mode(scenario), folder, starts)
    paths: dict[int, Path] = {}
    first = starts[0] if starts else datetime.fromisoformat(scenario.camera.start_utc)
    for panel in range(scenario.n_panels):
        own = [k for k, (of, _) in enumerate(scenario.visits) if of == panel]
        camera = panel_camera(scenario, panel)
        found = light_paths(camera, _panel_folder(scenario, folder, panel), [starts[k] for k in own])
        if camera.device.startswith("dwarf"):
            found = _inside_the_outer_folder(scenario, found, folder, first, panel)
        paths.update(zip(own, found, strict=True))
    return [paths[k] for k in range(len(starts))]


def _in_mosaic_mode(scenario: MosaicScenario) -> Scenario:
    """Return the camera as its names are made: that of a session with more than one panel."""
    return replace(scenario.camera, panels=((0.0, 0.0),) * max(2, scenario.n_panels))


def panel_camera(scenario: MosaicScenario, panel: int) -> Scenario:
    """Return the camera with the target as its device names it at one pointing."""
    camera = scenario.camera
    if scenario.layout == "mixed" or camera.device == "generic":
        return camera
    if camera.device.startswith("dwarf"):
        return replace(camera, target=f"{camera.target}({panel + 1})")
    number = str(panel + 1) if scenario.centres else f"{panel // scenario.columns + 1}{panel % scenario.columns + 1}"
    return replace(camera, target=f"{camera.target}_{number}")


def _panel_folder(scenario: MosaicScenario, folder: Path, panel: int) -> Path:
    return folder / f"Panel_{panel + 1}" if scenario.camera.device == "generic" else folder


def _inside_the_outer_folder(
    scenario: MosaicScenario, paths: list[Path], folder: Path, first: datetime, panel: int
) -> list[Path]:
    """Return the paths of one DWARF panel; its folder is stamped some milliseconds after the outer one."""

    def named(target: str, start: datetime) -> str:
        camera = replace(scenario.camera, target=target)
        return light_paths(camera, Path(), [start])[0].parent.name

    outer = named(f"MOSAIC_{scenario.camera.target}", first)
    inner = named(f"{scenario.camera.target}({panel + 1})", first + timedelta(milliseconds=3 + panel))
    return [folder / "Astronomy" / outer / inner / path.name for path in paths]


def mosaic_cards(scenario: MosaicScenario, frame: MosaicFrame, pixels: U16 | F32) -> list[Card]:
    """Return the header of a frame with those pixels: that of its device, RA and DEC as the scenario wants them."""
    ra, dec = frame.told_deg or (0.0, 0.0)
    camera = replace(panel_camera(scenario, frame.panel), ra_deg=ra, dec_deg=dec)
    cards = light_cards(camera, structure_cards(pixels), frame.start, frame.index)
    if frame.told_deg is None and not camera.device.startswith("dwarf"):
        cards = [card for card in cards if card.keyword not in ("RA", "DEC")]
    if camera.scale_arcsec != DEVICES[camera.device].scale_arcsec:  # another focal length than the device's own
        focal = round(_ARCSEC_PER_RADIAN * 1e-3 * camera.optics.pixel_um / camera.scale_arcsec, 4)
        cards = [Card(c.keyword, focal, c.comment) if c.keyword == "FOCALLEN" else c for c in cards]
    if scenario.header_wcs:
        cards += wcs_cards(frame.grid)
    return cards


def wcs_cards(grid: SkyGrid) -> list[Card]:
    """Return the cards of an image's coordinates, with the inverse of a distortion that other programs need."""
    wcs = grid.wcs
    if wcs.sip is not None:
        wcs = replace(wcs, sip=wcs.sip.with_inverse(wcs.crpix0, grid.width, grid.height))
    return [Card(*card) for card in wcs.cards()]


def panel_shots_info(scenario: MosaicScenario, panel: int, told_deg: tuple[float, float] | None) -> str:
    """Return the shotsInfo.json of one DWARF panel."""
    ra, dec = told_deg or (0.0, 0.0)
    camera = replace(panel_camera(scenario, panel), ra_deg=ra, dec_deg=dec, n_frames=scenario.subs)
    return shots_info(camera)
