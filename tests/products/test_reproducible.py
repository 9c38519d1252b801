"""With SOURCE_DATE_EPOCH equal input gives equal products, byte by byte."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from snakewebb.errors import InputError
from snakewebb.io import provenance
from snakewebb.jobs.source_catalog import make_catalog
from snakewebb.products import exposure_file
from snakewebb.products.mosaic_file import write_i2d
from snakewebb.simulate.observation import write
from snakewebb.simulate.presets import preset
from snakewebb.wcs.exposure import read_geometry
from snakewebb.wcs.grid import output_grid
from snakewebb.wcs.layout import lay_out

EPOCH, DATE = "1700000000", "2023-11-14T22:13:20.000"


def test_the_date_is_now_or_what_the_environment_says(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    time = datetime.fromisoformat(provenance.date()).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - time).total_seconds() < 60
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    assert provenance.date() == DATE


@pytest.mark.parametrize("value", ["yesterday", "1.5", "1e9", "9" * 30])
def test_a_date_that_is_none_is_told(monkeypatch, value):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    with pytest.raises(InputError, match=r"^SOURCE_DATE_EPOCH: .* is no time: give seconds"):
        provenance.date()


@pytest.fixture(scope="module")
def exposure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("observation")
    field = replace(preset("nircam-f356w", npix=96), stars=40, galaxies=0)
    write(replace(field, dithers=field.dithers[:1]), folder)
    return next(folder.glob("*_cal.fits"))


@pytest.mark.parametrize("copied", [True, False])
def test_an_exposure_is_the_same_again(exposure, tmp_path, monkeypatch, copied):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    monkeypatch.setattr(exposure_file, "_is_copyable", lambda *_: copied)
    paths = tmp_path / "first" / "a_crf.fits", tmp_path / "again" / "a_crf.fits"
    for path in paths:
        path.parent.mkdir()
        exposure_file.write_crf(
            exposure,
            path,
            provenance=provenance.Provenance(
                {"outlier_detection": "SKIPPED"},
                {"outlier_detection": {"reason": "only one exposure"}},
            ),
        )
    first, again = (path.read_bytes() for path in paths)
    assert first == again
    assert fits.getval(paths[0], "DATE") == DATE
    with datamodels.open(paths[0]) as model:
        assert model.meta.date == DATE


def test_a_mosaic_and_its_catalogue_are_the_same_again(exposure, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    image = fits.getdata(exposure, "SCI")
    geometry = read_geometry(exposure)
    grid = output_grid(
        {"a": geometry}, max_megapixels=10, crpix=(48.5, 48.5), output_shape=(96, 96)
    )
    layout = lay_out({"a": geometry}, {"a": "g"}, {"a": None}, grid)
    planes = {"SCI": image, "WHT": np.ones_like(image), "ERR": np.full_like(image, 0.1)}
    parameters = {"pixfrac": 1.0, "kernel": "square", "fillval": "NAN", "weight_type": "ivm"}
    made = []
    for folder in (tmp_path / "first", tmp_path / "again"):
        folder.mkdir()
        paths = [folder / f"a_{suffix}" for suffix in ("i2d.fits", "cat.ecsv", "segm.fits")]
        write_i2d(paths[0], layout, [(0, planes)], [exposure], parameters=parameters)
        make_catalog(paths[0], tuple(paths[1:]))
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
        for path in (paths[0], paths[2]):
            assert fits.getval(path, "DATE") == DATE
    assert made[0] == made[1]
