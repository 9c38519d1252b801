"""Write `apertures.json`, the part of the SIAF that the simulator needs, from pysiaf.

pysiaf is no dependency of snakewebb; run this by hand, where it is installed::

    python make_apertures.py
"""

import json
from pathlib import Path
from typing import Any

APERTURES = {
    "NIRCam": {
        **{f"NRC{module}{n}_FULL": f"NRC{module}{n}" for module in "AB" for n in range(1, 5)},
        "NRCA5_FULL": "NRCALONG",
        "NRCB5_FULL": "NRCBLONG",
        "NRCA5_MASK335R": "NRCALONG",
    },
    "MIRI": {
        "MIRIM_FULL": "MIRIMAGE",
        "MIRIM_MASK1140": "MIRIMAGE",
        "MIRIM_MASK1550": "MIRIMAGE",
        "MIRIM_MASKLYOT": "MIRIMAGE",
    },
    "NIRISS": {"NIS_CEN": "NIS"},
    "FGS": {"FGS1_FULL": "GUIDER1", "FGS2_FULL": "GUIDER2"},
}


def full_frame_reference(aperture: Any) -> tuple[float, float]:
    """Return the aperture's reference pixel in the full frame, science orientation, 1-based."""
    flip_x = (aperture.DetSciParity == -1) != (aperture.DetSciYAngle == 180)
    flip_y = aperture.DetSciYAngle == 180
    x = aperture.XDetSize + 1 - aperture.XDetRef if flip_x else aperture.XDetRef
    y = aperture.YDetSize + 1 - aperture.YDetRef if flip_y else aperture.YDetRef
    return x, y


def polynomial(aperture: Any, name: str) -> list[float]:
    """Return SIAF coefficients in SIAF order: (i, j) with term dx**(i - j) * dy**j."""
    degree = aperture.Sci2IdlDeg
    return [getattr(aperture, f"{name}{i}{j}") for i in range(degree + 1) for j in range(i + 1)]


def entry(instrument: str, detector: str, aperture: Any) -> dict:
    """Return one row of the table, with control points computed by pysiaf itself."""
    x_ref, y_ref = full_frame_reference(aperture)
    nx, ny = aperture.XSciSize, aperture.YSciSize
    points = [(x, y) for y in (1, (ny + 1) / 2, ny) for x in (1, (nx + 1) / 2, nx)]
    ideal = [aperture.sci_to_idl(x, y) for x, y in points]
    v2_v3 = [aperture.idl_to_tel(x, y, method="planar_approximation") for x, y in ideal]
    return {
        "instrument": instrument.upper(),
        "detector": detector,
        "full_size": [aperture.XDetSize, aperture.YDetSize],
        "start": [round(x_ref - aperture.XSciRef) + 1, round(y_ref - aperture.YSciRef) + 1],
        "size": [nx, ny],
        "reference": [x_ref, y_ref],
        "v2_ref": aperture.V2Ref,
        "v3_ref": aperture.V3Ref,
        "v3yangle": aperture.V3IdlYAngle,
        "vparity": aperture.VIdlParity,
        "to_ideal": [polynomial(aperture, "Sci2IdlX"), polynomial(aperture, "Sci2IdlY")],
        "from_ideal": [polynomial(aperture, "Idl2SciX"), polynomial(aperture, "Idl2SciY")],
        "control": [[*p, float(v2), float(v3)] for p, (v2, v3) in zip(points, v2_v3, strict=True)],
    }


def main() -> None:
    """Write the table beside this script."""
    import pysiaf

    table = {
        "source": "SIAF of the JWST Project Reference Database (STScI), through pysiaf",
        "pysiaf": pysiaf.__version__,
        "prd": pysiaf.JWST_PRD_VERSION,
        "conventions": "reference, start, control x and y: 1-based science pixels (reference in "
        "the full frame, control in the aperture's own); ideal, v2, v3: arcsec; polynomial terms "
        "in SIAF order (0,0) (1,0) (1,1) (2,0)…, term (i, j) = dx**(i - j) * dy**j; control points "
        "(x, y, v2, v3) by pysiaf's planar approximation, which the distortion files also use",
        "apertures": {},
    }
    for instrument, names in APERTURES.items():
        siaf = pysiaf.Siaf(instrument)
        for name, detector in names.items():
            table["apertures"][name] = entry(instrument, detector, siaf[name])
    path = Path(__file__).with_name("apertures.json")
    rows = ",\n".join(
        f"{json.dumps(k)}: {json.dumps(v)}" for k, v in table.pop("apertures").items()
    )
    head = json.dumps(table, indent=1, ensure_ascii=False).removesuffix("\n}")
    path.write_text(f'{head},\n "apertures": {{\n{rows}\n}}\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
