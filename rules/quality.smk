# How good a product is, from its own data: what marks it WARN, and stops nothing.


rule quality:
    input:
        unpack(of(plan.references, names=("apcorr",))),
        exposures=of(plan.files, kind="crf"),
        facts="<results>/{product}/work/{product}_facts.zip",
        alignment="<results>/{product}/work/{product}_alignment.json",
        mosaic="<results>/{product}/{product}_i2d.fits",
        kernels=ancient("<results>/kernels.done"),
    output:
        metrics="<results>/{product}/{product}_quality.ecsv",
        exposures="<results>/{product}/{product}_quality_exposures.ecsv",
        depth="<results>/{product}/{product}_depth.fits",
        repeats="<results>/{product}/work/{product}_repeats.npz",
    log:
        "<logs>/{product}/quality.log",
    wildcard_constraints:
        product=IMAGE3,
    conda:
        "../envs/snakewebb.yaml"
    threads: of(plan.catalog_threads)
    resources:
        mem_mb=memory(1000, 0),
        runtime=minutes,
    params:
        code=code("quality"),
        step=of(plan.quality_options),
    message:
        "Measure the quality of {wildcards.product}"
    script:
        "../scripts/quality.py"


rule plot_quality:
    input:
        metrics="<results>/{product}/{product}_quality.ecsv",
        exposures="<results>/{product}/{product}_quality_exposures.ecsv",
        depth="<results>/{product}/{product}_depth.fits",
        repeats="<results>/{product}/work/{product}_repeats.npz",
    output:
        page=report(
            "<results>/{product}/plots/{product}_quality.html",
            caption="../report/quality.rst",
            category="{product}",
            labels={"figure": "0 Quality"},
        ),
        residuals=report(
            "<results>/{product}/plots/{product}_residuals.png",
            caption="../report/residuals.rst",
            category="{product}",
            labels={"figure": "9 Repeated stars"},
        ),
        depth=report(
            "<results>/{product}/plots/{product}_depth.png",
            caption="../report/depth.rst",
            category="{product}",
            labels={"figure": "9 Depth"},
        ),
    log:
        "<logs>/{product}/plot_quality.log",
    wildcard_constraints:
        product=IMAGE3,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_quality"),
    message:
        "Draw the repeated stars and the depth of {wildcards.product}"
    script:
        "../scripts/plot_quality.py"
