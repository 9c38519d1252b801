# Pictures, plots and the table of steps, as `snakemake --report` shows them, and a page of all.
from snakewebb.workflow.pages import shown, shown_of_star


rule plot_page:
    input:
        unpack(of(shown, plan=plan)),
    output:
        page="<results>/{product}/plots/{product}_page.html",
        picture=report(
            "<results>/{product}/plots/{product}_picture.html",
            caption="../report/page.rst",
            category="{product}",
            labels={"figure": "1 Picture to zoom into"},
        ),
    log:
        "<logs>/{product}/plot_page.log",
    wildcard_constraints:
        product=IMAGE3,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(1200, 0),
        runtime=minutes,
    params:
        code=code("plot_page"),
    message:
        "Write the page of {wildcards.product}"
    script:
        "../scripts/plot_page.py"


rule plot_coron_page:
    input:
        unpack(of(shown_of_star, plan=plan)),
    output:
        page="<results>/{product}/plots/{product}_page.html",
        picture=report(
            "<results>/{product}/plots/{product}_picture.html",
            caption="../report/page.rst",
            category="{product}",
            labels={"figure": "1 Picture to zoom into"},
        ),
    log:
        "<logs>/{product}/plot_coron_page.log",
    wildcard_constraints:
        product=CORON3,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_coron_page"),
    message:
        "Write the page of {wildcards.product}"
    script:
        "../scripts/plot_coron_page.py"


rule plot_mosaic:
    input:
        mosaic="<results>/{product}/{product}_i2d.fits",
    output:
        report(
            "<results>/{product}/plots/{product}_mosaic.png",
            caption="../report/mosaic.rst",
            category="{product}",
            labels={"figure": "1 Mosaic"},
        ),
    log:
        "<logs>/{product}/plot_mosaic.log",
    wildcard_constraints:
        product=IMAGE3,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_mosaic"),
    message:
        "Draw the mosaic of {wildcards.product}"
    script:
        "../scripts/plot_mosaic.py"


rule plot_sources:
    input:
        mosaic="<results>/{product}/{product}_i2d.fits",
        catalog=[
            "<results>/{product}/{product}_cat.ecsv",
            "<results>/{product}/{product}_cat.fits",
        ],
    output:
        report(
            "<results>/{product}/plots/{product}_sources.png",
            caption="../report/sources.rst",
            category="{product}",
            labels={"figure": "2 Sources"},
        ),
    log:
        "<logs>/{product}/plot_sources.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_sources"),
    message:
        "Draw the sources of {wildcards.product}"
    script:
        "../scripts/plot_sources.py"


rule plot_completeness:
    input:
        completeness="<results>/{product}/{product}_completeness.ecsv",
    output:
        report(
            "<results>/{product}/plots/{product}_completeness.png",
            caption="../report/completeness.rst",
            category="{product}",
            labels={"figure": "2 Completeness"},
        ),
    log:
        "<logs>/{product}/plot_completeness.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_completeness"),
    message:
        "Plot how complete the catalogue of {wildcards.product} is"
    script:
        "../scripts/plot_completeness.py"


rule plot_exposures:
    input:
        alignment="<results>/{product}/work/{product}_alignment.json",
        sky=optional(plan.sky_file),
        exposures=of(plan.files, kind="crf"),
        originals=of(plan.stage2_files),
    output:
        worst="<results>/{product}/plots/{product}_worst.png",
        alignment=report(
            "<results>/{product}/plots/{product}_alignment.png",
            caption="../report/alignment.rst",
            category="{product}",
            labels={"figure": "3 Alignment"},
        ),
        sky=report(
            "<results>/{product}/plots/{product}_sky.png",
            caption="../report/sky.rst",
            category="{product}",
            labels={"figure": "4 Sky levels"},
        ),
        outliers=report(
            "<results>/{product}/plots/{product}_outliers.png",
            caption="../report/outliers.rst",
            category="{product}",
            labels={"figure": "5 Outliers"},
        ),
        placements=report(
            "<results>/{product}/plots/{product}_placements.png",
            caption="../report/placements.rst",
            category="{product}",
            labels={"figure": "7 Placements of detectors"},
        ),
        status=report(
            "<results>/{product}/plots/{product}_status.html",
            caption="../report/status.rst",
            category="{product}",
            labels={"figure": "6 Status of steps"},
        ),
    log:
        "<logs>/{product}/plot_exposures.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_exposures"),
    message:
        "Plot the alignment, sky and outliers of {wildcards.product}"
    script:
        "../scripts/plot_exposures.py"


rule plot_companions:
    input:
        unpack(of(plan.detections)),
        mosaic="<results>/{product}/{product}_i2d.fits",
        stars="<results>/{product}/work/{product}_stars.json",
    output:
        report(
            "<results>/{product}/plots/{product}_mosaic.png",
            caption="../report/companions.rst",
            category="{product}",
            labels={"figure": "1 Combined image"},
        ),
    log:
        "<logs>/{product}/plot_companions.log",
    wildcard_constraints:
        product=CORON3,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_companions"),
    message:
        "Draw the combined image of {wildcards.product}"
    script:
        "../scripts/plot_companions.py"


rule plot_contrast:
    input:
        curve="<results>/{product}/{product}_contrast.ecsv",
        detections="<results>/{product}/{product}_detections.ecsv",
    output:
        report(
            "<results>/{product}/plots/{product}_contrast.png",
            caption="../report/contrast.rst",
            category="{product}",
            labels={"figure": "2 Contrast"},
        ),
    log:
        "<logs>/{product}/plot_contrast.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_contrast"),
    message:
        "Plot the contrast of {wildcards.product}"
    script:
        "../scripts/plot_contrast.py"


rule plot_coron:
    input:
        exposures=of(plan.used_exposures),
        references=of(plan.aligned_references),
        subtracted=of(plan.subtracted),
    output:
        subtraction=report(
            "<results>/{product}/plots/{product}_subtraction.png",
            caption="../report/subtraction.rst",
            category="{product}",
            labels={"figure": "3 Before and after"},
        ),
        shifts=report(
            "<results>/{product}/plots/{product}_shifts.png",
            caption="../report/shifts.rst",
            category="{product}",
            labels={"figure": "4 Alignment of references"},
        ),
        eigenvalues=report(
            "<results>/{product}/plots/{product}_eigenvalues.png",
            caption="../report/eigenvalues.rst",
            category="{product}",
            labels={"figure": "5 Eigenvalues"},
        ),
        status=report(
            "<results>/{product}/plots/{product}_coron_status.html",
            caption="../report/status.rst",
            category="{product}",
            labels={"figure": "6 Status of steps"},
        ),
    log:
        "<logs>/{product}/plot_coron.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_coron"),
        truncate=of(plan.all_modes),
    message:
        "Plot the subtraction and alignment of {wildcards.product}"
    script:
        "../scripts/plot_coron.py"


# Of the exposures that stage 2 makes for a product, or of those that no product has.
rule plot_stage2:
    input:
        exposures=of(stage2.made_for),
    output:
        report(
            "<results>/{product}/plots/{product}_stage2_status.html",
            caption="../report/stage2.rst",
            category="{product}",
            labels={"figure": "8 Status of stage 2"},
        ),
    log:
        "<logs>/{product}/plot_stage2.log",
    wildcard_constraints:
        product=STAGE2,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_stage2"),
    message:
        "Write what stage 2 did for {wildcards.product}"
    script:
        "../scripts/plot_stage2.py"


rule plot_backgrounds:
    input:
        exposures=of(stage2.rates_with_background),
        backgrounds=of(stage2.backgrounds_used),
    output:
        report(
            "<results>/{product}/plots/{product}_backgrounds.png",
            caption="../report/backgrounds.rst",
            category="{product}",
            labels={"figure": "7 Backgrounds"},
        ),
    log:
        "<logs>/{product}/plot_backgrounds.log",
    wildcard_constraints:
        product=STAGE2,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_backgrounds"),
    message:
        "Draw the backgrounds of {wildcards.product}"
    script:
        "../scripts/plot_backgrounds.py"
