"""Names of exposures and products, and of their files."""

from __future__ import annotations

import os
import re
from pathlib import Path

_KNOWN = """
adaptive_trace_model adaptivetracemodelstep align_refs alignrefsstep ami ami-oi
ami3pipeline ami_analyze ami_normalize amianalyzestep aminorm aminorm-oi aminormalizestep
assign_mtwcs assign_wcs assignmtwcsstep assignwcsstep backgroundstep badpixselfcalstep
barshadowstep bkg_subtract blot bsub bsubints c1d cal calints cat chargemigrationstep
clean_flicker_noise cleanflickernoisestep combine1dstep combine_1d coron3pipeline crf
crfints cube_build cubebuildstep dark dark_current darkcurrentstep darkpipeline
detector1pipeline dq_init dqinitstep emicorr emicorrstep engdblog extract1dstep
extract2dstep extract_1d extract_2d firstframe firstframestep flat_field flatfieldstep
fringe fringestep gain_scale gainscalestep group_scale groupscalestep guider_cds
guidercdsstep guiderpipeline hlsp hlspstep i2d image2pipeline image3pipeline imprint
imprintstep ipc ipcstep jump jumpstep klip klipstep lastframe lastframestep linearity
linearitystep master_background masterbackgroundmosstep masterbackgroundstep mbsub median
msaflagopenstep outlier_detection outlierdetectionstep pathloss pathlossstep persistence
persistencestep phot photom photomstep picture_frame pictureframestep pixelreplacestep
psfalign psfstack psfsub ramp ramp_fit rampfitstep rate rateints refpix refpixstep resample
resample_spec resamplespecstep resamplestep reset resetstep residual_fringe
residualfringestep rscd rscdstep s2d s3d saturation saturationstep skymatch skymatchstep
snr source_catalog sourcecatalogstep sourcetypestep spec2nrslamp spec2pipeline
spec3pipeline spectral_leak spectralleakstep srctype stackrefs stackrefsstep straylight
straylightstep superbias superbiasstep targ_centroid targcentroidstep tso3pipeline
tsophotometrystep tweakreg tweakregstep uncal wavecorrstep wfscmb wfscombine wfscombinestep
wfsscontamstep white_light whitelightstep whtlt x1d x1dints
"""
SUFFIXES = frozenset(_KNOWN.split())
"""Those that jwst 3.0.0 knows as such (``jwst.lib.suffix``)."""
_SEPARATOR = re.compile("[_-]")
FITS = re.compile(r"\.fits(\.(gz|fz|bz2|xz))?$")


def exposure_name(path: str | Path) -> str:
    """Return a file's name without folder, ``.fits`` and product suffix."""
    name = os.fspath(path).rstrip("/").rpartition("/")[2]
    name = FITS.sub("", name)
    for separator in _SEPARATOR.finditer(name, 1):
        if name[separator.end() :] in SUFFIXES:
            return name[: separator.start()]
    return name


def exposure_suffix(path: str | Path) -> str:
    """Return what stands behind the last ``_`` of a file's name, without ``.fits``: ``cal``."""
    return os.fspath(path).rpartition("_")[2].partition(".fits")[0]


def product_name(name: str) -> str:
    """Return the name that a product has, of what an association or the configuration calls it.

    As jwst does, a folder, ``.fits`` and a suffix such as ``_i2d`` are left out.
    """
    return exposure_name(name)


def product_exposure(path: str | Path) -> str:
    """Return the exposure that ``<exposure>_<asn_id>_<suffix>.fits`` is of.

    Before the suffix may stand a number of modes, ``_k5``.
    """
    return re.sub(r"_k\d+$", "", exposure_name(path)).rpartition("_")[0]
