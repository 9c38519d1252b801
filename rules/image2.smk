# From count rates to calibrated exposures (calwebb_image2), each made once for all products.


rule background:
    input:
        exposures=of(stage2.background_set),
    output:
        "<results>/exposures/{background}_combinedbackground.fits",
    log:
        "<logs>/exposures/background/{background}.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(500, 1.2),
        runtime=minutes,
    params:
        code=code("background"),
        step=of(stage2.background_options),
    message:
        "Combine the background exposures of {wildcards.background}"
    script:
        "../scripts/background.py"


rule cal:
    input:
        unpack(of(stage2.references)),
        exposure=of(stage2.rate_file),
        background=optional(stage2.background_file),
    output:
        "<results>/exposures/{exposure}_{kind}.fits",
    log:
        "<logs>/exposures/cal/{exposure}_{kind}.log",
    wildcard_constraints:
        kind="cal|calints",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(450, 1.6),
        runtime=minutes,
    params:
        code=code("cal"),
        step=of(stage2.options, rule="cal"),
        names=of(stage2.reference_names),
        asn=of(stage2.asn_metadata),
    message:
        "Calibrate {wildcards.exposure}"
    script:
        "../scripts/cal.py"


rule bsub:
    input:
        exposure=of(stage2.rate_file),
        background=of(stage2.subtracted_background),
    output:
        "<results>/exposures/{exposure}_{kind}.fits",
    log:
        "<logs>/exposures/bsub/{exposure}_{kind}.log",
    wildcard_constraints:
        kind="bsub|bsubints",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(450, 1.6),
        runtime=minutes,
    params:
        code=code("bsub"),
        asn=of(stage2.asn_metadata),
    message:
        "Subtract the background from {wildcards.exposure}"
    script:
        "../scripts/bsub.py"


rule quick_look:
    input:
        exposure="<results>/exposures/{exposure}_cal.fits",
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/exposures/{exposure}_i2d.fits",
    log:
        "<logs>/exposures/quick_look/{exposure}.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(1200, 4),
        runtime=minutes,
    params:
        code=code("quick_look"),
        step=of(stage2.mosaic_options),
        asn=of(stage2.asn_metadata, kind="cal"),
    message:
        "Rectify {wildcards.exposure}"
    script:
        "../scripts/quick_look.py"
