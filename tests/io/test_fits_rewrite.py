"""Headers changed in place of others, pixels untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import data_hash, read_header, replace_cards, verify_checksums, write_header, write_image

PIXELS = np.arange(2 * 30 * 40, dtype=np.float32).reshape(2, 30, 40)[:1]


def test_cards_are_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "product.fits"
    extension = ("MORE", PIXELS[0] * 2, [("NOTE", "kept", "")])
    write_image(path, PIXELS, [("OBJECT", "M 94", ""), ("CD1_1", 5.0, "old"), ("RA", 1.0, "")], [extension])
    before = data_hash(path)
    replace_cards(path, [("RA", 2.5, "new"), ("CRVAL1", 2.5, "")], lambda keyword: keyword.startswith("CD"))
    header = read_header(path)
    assert header.number("RA") == 2.5
    assert header.text("OBJECT") == "M 94"
    assert "CD1_1" not in header
    assert list(header).count("RA") == 1
    assert data_hash(path) == before
    assert verify_checksums(path) == []


def test_many_cards_take_more_blocks_and_few_give_them_back(tmp_path: Path) -> None:
    path = tmp_path / "product.fits"
    write_image(path, PIXELS, [])
    small, before = path.stat().st_size, data_hash(path)
    replace_cards(path, [(f"KEY{k}", k, "") for k in range(80)], lambda keyword: False)
    assert path.stat().st_size > small
    assert verify_checksums(path) == []
    replace_cards(path, [], lambda keyword: keyword.startswith("KEY"))
    assert path.stat().st_size == small
    assert data_hash(path) == before
    assert verify_checksums(path) == []


def test_a_file_that_is_not_whole_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "product.fits"
    write_image(path, PIXELS, [])
    path.write_bytes(path.read_bytes()[:4000])
    content = path.read_bytes()
    with pytest.raises(UnreadableFrame):
        replace_cards(path, [("RA", 1.0, "")], lambda keyword: False)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["product.fits"]


def test_a_header_alone_reads_back(tmp_path: Path) -> None:
    from astropy.io import fits

    path = tmp_path / "frame.wcs"
    write_header(path, [("CRVAL1", 10.5, ""), ("PLTSOLVD", True, "")])
    assert path.stat().st_size == 2880
    with fits.open(path) as hdus:
        assert hdus[0].header["CRVAL1"] == 10.5
        assert hdus[0].data is None
