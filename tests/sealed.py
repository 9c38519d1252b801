"""Whether products are whole and say who made them."""

from astropy.io import fits


def check_sealed(path):
    """Check the sums of all units of a product, and who made it."""
    with fits.open(path) as hdus:
        assert hdus[0].header["ORIGIN"] == "snakewebb"
        for hdu in hdus:
            assert {"CHECKSUM", "DATASUM"} <= set(hdu.header), (path, hdu.name)
            assert hdu.verify_checksum() == hdu.verify_datasum() == 1, (path, hdu.name)
