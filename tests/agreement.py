"""Where files must agree with what gwcs and stdatamodels read and write."""

import io

import asdf
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from gwcs import WCS as GWCS
from numpy.testing import assert_allclose, assert_array_equal
from stdatamodels import fits_support
from stdatamodels.jwst.datamodels import CubeModel, ImageModel

from snakewebb.io.hdus import SUMS
from snakewebb.wcs.gwcs_eval import read_tree
from snakewebb.wcs.gwcs_library import pixel_to_sky
from snakewebb.wcs.sip import FITS_WCS

ROUNDING = 2e-13  # degrees: of a right ascension, 3 units in the last place


def content(wcs: GWCS, standard: str | None = None, **storage: str) -> bytes:
    """Return an ASDF file that holds a gWCS where JWST's files have it."""
    file = io.BytesIO()
    asdf.AsdfFile({"meta": {"wcs": wcs}}, version=standard).write_to(file, **storage)
    return file.getvalue()


def agree(wcs: GWCS, text: bytes | None = None) -> None:
    """Check what is read of a gWCS, or of a file that holds it, both ways."""
    ours, theirs = read_tree(text or content(wcs)), pixel_to_sky(wcs)
    assert ours.bounding_box == theirs.bounding_box
    (x0, x1), (y0, y1) = theirs.bounding_box
    x, y = np.meshgrid(np.linspace(x0, x1, 9), np.linspace(y0, y1, 8))
    expected = theirs.forward(x, y)
    np.testing.assert_allclose(ours.forward(x, y), expected, rtol=1e-14, atol=ROUNDING)
    assert (ours.inverse is None) == (theirs.inverse is None)
    if ours.inverse:
        back, expected_back = ours.inverse(*expected), theirs.inverse(*expected)
        np.testing.assert_allclose(back, expected_back, rtol=0, atol=1e-8)
    one = ours.forward(float(x[2, 3]), float(y[2, 3]))
    np.testing.assert_allclose(one, np.array(expected)[:, 2, 3], rtol=1e-14, atol=ROUNDING)


def is_consistent(path):
    """Return whether stdatamodels need not mend metadata from the FITS headers."""
    with (
        fits.open(path) as hdus,
        fits_support.from_fits_asdf(hdus, ignore_missing_extensions=True) as tree,
    ):
        hdus.verify("exception")
        return tree.tree.get("_fits_hash") == fits_support.fits_hash(hdus)


def header(path, extension=0):
    with fits.open(path) as hdus:
        return hdus[extension].header


def assert_same(copy, written):
    """Compare all that users read, but for the rounding of FITS WCS."""
    kind = CubeModel if header(written)["DATAMODL"] == "CubeModel" else ImageModel
    with kind(copy) as a, kind(written) as b:
        wcs = [model.meta.wcs for model in (a, b)]
        x, y = np.meshgrid(*(np.linspace(0, n - 1, 9) for n in a.shape[:-3:-1]))
        sky = wcs[0](x, y)
        assert wcs[0].available_frames == wcs[1].available_frames
        assert wcs[0].bounding_box == wcs[1].bounding_box
        assert_allclose(sky, wcs[1](x, y), rtol=0, atol=1e-12)
        assert_allclose(wcs[0].invert(*sky), wcs[1].invert(*sky), rtol=0, atol=1e-6)
        own = ("asdf_library", "history.ext", "_fits_hash", "meta.date", "meta.wcs.", "extra_fits")
        first, second = (
            {name: v for name, v in model.to_flat_dict().items() if not f"{name}.".startswith(own)}
            for model in (a, b)
        )
    regions = [flat.pop("meta.wcsinfo.s_region").split()[2:] for flat in (first, second)]
    assert_allclose(*np.array(regions, float), rtol=0, atol=2e-9)
    assert first.keys() == second.keys()
    for name, value in second.items():
        if name.removeprefix("meta.wcsinfo.") not in FITS_WCS:
            assert_array_equal(first[name], value)
            assert getattr(first[name], "dtype", None) == getattr(value, "dtype", None)
    with fits.open(copy) as a, fits.open(written) as b:
        for hdu in b:
            if hdu.name == "ASDF":
                continue
            other = a[hdu.name]
            assert_array_equal(other.data, hdu.data)
            assert hdu.data is None or other.data.dtype == hdu.data.dtype
            values = [{c.keyword: c.value for c in each.header.cards} for each in (other, hdu)]
            free = ("", "DATE", "HISTORY", "S_REGION", *SUMS, *map(str.upper, FITS_WCS))
            for each in values:
                for keyword in free:
                    each.pop(keyword, None)
            assert values[0] == values[1]
        assert a[0].header.get("HISTORY") == b[0].header.get("HISTORY")
        positions = [
            WCS(each["SCI"].header, fix=False, naxis=2).all_pix2world(x, y, 0) for each in (a, b)
        ]
        assert_allclose(*positions, rtol=0, atol=1e-9)
