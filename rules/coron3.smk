# From calibrated integrations to star-subtracted images and their mosaic (calwebb_coron3).


rule crfints:
    input:
        exposure=of(plan.stage2_file, exptypes=("science", "psf")),
        others=of(plan.same_type),
    output:
        "<results>/{product}/{exposure}_{asn_id}_crfints.fits",
    log:
        "<logs>/{product}/crfints/{exposure}_{asn_id}.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(600, 4),
        runtime=minutes,
    params:
        code=code("crfints"),
        step=options("outlier_detection", "crfints"),
        dva_pivot=of(plan.dva_pivot),
        asn=of(plan.asn_metadata),
    message:
        "Flag outliers in {wildcards.exposure}"
    script:
        "../scripts/crfints.py"


rule psfstack:
    input:
        exposures=of(plan.files, kind="crfints", exptype="psf"),
    output:
        "<results>/{product}/{product}_psfstack.fits",
    log:
        "<logs>/{product}/psfstack.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(600, 4),
        runtime=minutes,
    params:
        code=code("psfstack"),
        asn=of(plan.asn_metadata),
    message:
        "Stack the references of {wildcards.product}"
    script:
        "../scripts/psfstack.py"


rule find_stars:
    input:
        exposures=of(plan.files, kind="crfints"),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/work/{product}_stars.json",
    log:
        "<logs>/{product}/find_stars.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(600, 4),
        runtime=minutes,
    params:
        code=code("find_stars"),
        step=options("align_refs", "repair"),
    message:
        "Find the star behind the coronagraph of {wildcards.product}"
    script:
        "../scripts/find_stars.py"


rule psfalign:
    input:
        unpack(of(plan.alignment_weights)),
        exposure="<results>/{product}/{exposure}_{asn_id}_crfints.fits",
        stack="<results>/{product}/{product}_psfstack.fits",
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/{exposure}_{asn_id}_psfalign.fits",
    log:
        "<logs>/{product}/psfalign/{exposure}_{asn_id}.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 8),
        runtime=minutes,
    params:
        code=code("psfalign"),
        repair=options("align_refs", "repair"),
        step=options("align_refs", "psfalign"),
        asn=of(plan.asn_metadata),
    message:
        "Align the references with {wildcards.exposure}"
    script:
        "../scripts/psfalign.py"


rule psfsub:
    input:
        exposure="<results>/{product}/{exposure}_{asn_id}_crfints.fits",
        others=of(plan.other_rolls),
        references=of(plan.aligned_reference),
        stars="<results>/{product}/work/{product}_stars.json",
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/{exposure}_{asn_id}{modes}_psfsub.fits",
    log:
        "<logs>/{product}/psfsub/{exposure}_{asn_id}{modes}.log",
    conda:
        "../envs/snakewebb.yaml"
    threads: 1
    resources:
        mem_mb=memory(800, 10),
        runtime=minutes,
    params:
        code=code("psfsub"),
        repair=options("align_refs", "repair"),
        step=of(plan.klip_options),
        asn=of(plan.asn_metadata),
    message:
        "Subtract the star from {wildcards.exposure}"
    script:
        "../scripts/psfsub.py"


rule coron_i2d:
    input:
        exposures=of(plan.subtracted),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/{product}{modes}_i2d.fits",
    log:
        "<logs>/{product}/coron_i2d{modes}.log",
    wildcard_constraints:
        product=CORON3,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(900, 8),
        runtime=minutes,
    params:
        code=code("coron_i2d"),
        grid=options("resample", "grid"),
        drizzle=options("resample", "drizzle"),
        step=options("resample", "i2d"),
        crds=of(plan.tuned_by),
        max_megapixels=config["max_mosaic_megapixels"],
        asn=of(plan.asn_metadata),
    message:
        "Combine the exposures of {wildcards.product}"
    script:
        "../scripts/coron_i2d.py"


rule contrast:
    input:
        unpack(of(plan.references, names=("psf", "throughput", "abvegaoffset"))),
        exposures=of(plan.files, kind="crfints"),
        references=of(plan.aligned_references),
        subtracted=of(plan.subtracted),
        mosaic="<results>/{product}/{product}_i2d.fits",
        stars="<results>/{product}/work/{product}_stars.json",
        kernels=ancient("<results>/kernels.done"),
    output:
        curve="<results>/{product}/{product}_contrast.ecsv",
        detections="<results>/{product}/{product}_detections.ecsv",
        snr="<results>/{product}/{product}_snr.fits",
    log:
        "<logs>/{product}/contrast.log",
    conda:
        "../envs/snakewebb.yaml"
    threads: 1
    resources:
        mem_mb=memory(900, 10),
        runtime=minutes,
    params:
        code=code("contrast"),
        repair=options("align_refs", "repair"),
        klip=of(plan.contrast_klip_options),
        grid=options("resample", "grid"),
        drizzle=options("resample", "drizzle"),
        max_megapixels=config["max_mosaic_megapixels"],
        star=of(plan.star_brightness),
    message:
        "Measure the contrast of {wildcards.product}"
    script:
        "../scripts/contrast.py"
