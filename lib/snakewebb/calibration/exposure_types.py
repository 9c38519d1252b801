"""Which exposures get a WCS in stage 2, by EXP_TYPE: those that jwst 3.0.0 knows.

Standard library only: the workflow asks when it parses the Snakefile.
"""

IMAGING = {
    *(f"NRC_{kind}" for kind in ("IMAGE", "TACQ", "TACONFIRM", "CORON", "FOCUS", "TSIMAGE")),
    *(f"MIR_{kind}" for kind in ("IMAGE", "TACQ", "TACONFIRM", "LYOT", "4QPM", "CORONCAL")),
    *(f"NIS_{kind}" for kind in ("IMAGE", "AMI", "TACQ", "TACONFIRM", "FOCUS")),
    *(f"FGS_{kind}" for kind in ("IMAGE", "FOCUS")),
}
"""EXP_TYPE of exposures with a WCS."""
WITHOUT = {
    *(f"NRC_{kind}" for kind in ("DARK", "FLAT", "LED")),
    *(f"MIR_{kind}" for kind in ("DARKIMG", "FLATIMAGE", "FLATIMAGE-EXT")),
    *(f"NIS_{kind}" for kind in ("DARK", "LAMP")),
    *(f"FGS_{kind}" for kind in ("DARK", "INTFLAT", "SKYFLAT")),
}
"""EXP_TYPE of exposures that do not look at the sky."""
