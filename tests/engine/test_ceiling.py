"""A camera of 12 bits in files of 16: saturation is where its pixels pile up, and the manifest says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_sky import manifest, small_session, stacked


@pytest.mark.parametrize(("camera_adu", "zero_point"), [(4095.0, 25.0), (65535.0, 21.0)])
def test_the_level_at_which_pixels_pile_up_is_taken_for_saturation(
    tmp_path: Path, camera_adu: float, zero_point: float
) -> None:
    sky = {"sky_adu": 800.0, "nebula": False, "n_cosmics_per_frame": 0, "n_hot_pixels": 20}
    truth = small_session(
        tmp_path / "session", n_frames=4, saturation_adu=camera_adu, zero_point=zero_point, n_faint_stars=200, **sky
    )
    told = manifest(stacked(truth.folder, tmp_path / "out", trails=False, solve="off"))
    assert told.full_scale_adu == 65535.0  # the unit does not hang on what the pixels show
    assert told.saturation_adu == camera_adu
    shares = [frame.saturated_share for frame in told.frames]
    assert all(share is not None and (share > 0.001) == (camera_adu < 65535.0) for share in shares)
