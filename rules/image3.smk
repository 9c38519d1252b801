# From calibrated exposures to mosaic, catalogue and segmentation map (calwebb_image3).
from snakewebb.workflow.siblings import siblings


# A product may be called as its only exposure's mosaic is.
ruleorder: i2d > exposure_i2d


# Once, before the first jobs; edited kernels are compiled by the jobs that use them. It must not run
# again by itself: Snakemake would then overlook all other reasons of the jobs that have its output
# as `ancient` input.
rule kernels:
    output:
        touch("<results>/kernels.done"),
    log:
        "<logs>/kernels.log",
    conda:
        "../envs/snakewebb.yaml"
    threads: 4
    resources:
        mem_mb=memory(1600, 0),
        runtime=minutes,
    message:
        "Compile the kernels"
    script:
        "../scripts/kernels.py"


rule write_association:
    output:
        "<results>/{product}/{product}_asn.json",
    log:
        "<logs>/{product}/write_association.log",
    localrule: True
    conda:
        "../envs/snakewebb.yaml"
    params:
        code=code("write_association"),
        files=of(plan.listed_files),
    message:
        "Write the association of {wildcards.product}"
    script:
        "../scripts/write_association.py"


rule find_sources:
    input:
        exposure=of(plan.stage2_file),
        catalog=optional(plan.custom_catalog),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/work/{exposure}_facts.json",
    log:
        "<logs>/{product}/find_sources/{exposure}.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(700, 2),
        runtime=minutes,
    params:
        code=code("find_sources"),
        step=options("tweakreg", "find_sources"),
        group_id=of(plan.group_id),
        dva_pivot=of(plan.dva_pivot),
    message:
        "Find stars in {wildcards.exposure}"
    script:
        "../scripts/find_sources.py"


rule solve_field:
    input:
        facts=of(fields.facts_files),
        refcat=optional(fields.reference_catalog),
    output:
        solution="<results>/fields/{field}.json",
    log:
        "<logs>/fields/{field}.log",
    wildcard_constraints:
        field=FIELDS,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 20),
        runtime=minutes,
    params:
        code=code("solve_field"),
        tweakreg=of(fields.options),
    message:
        "Align the exposures of all products of {wildcards.field}"
    script:
        "../scripts/solve_field.py"


rule align:
    input:
        facts=of(plan.facts_files),
        field=optional(fields.solution),
        refcat=optional(fields.own_catalog),
    output:
        alignment="<results>/{product}/work/{product}_alignment.json",
        archive="<results>/{product}/work/{product}_facts.zip",
    log:
        "<logs>/{product}/align.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 20),
        runtime=minutes,
    params:
        code=code("align"),
        step=of(fields.align_options),
        max_megapixels=config["max_mosaic_megapixels"],
    message:
        "Align the exposures of {wildcards.product}"
    script:
        "../scripts/align.py"


rule skymatch:
    input:
        exposures=of(plan.stage2_files),
        facts="<results>/{product}/work/{product}_facts.zip",
        alignment="<results>/{product}/work/{product}_alignment.json",
        skylist=optional(plan.sky_list),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/work/{product}_sky.json",
    log:
        "<logs>/{product}/skymatch.log",
    conda:
        "../envs/snakewebb.yaml"
    threads: 4
    resources:
        mem_mb=memory(600, 1.5, largest="exposures"),
        runtime=minutes,
    params:
        code=code("skymatch"),
        step=options("skymatch", "skymatch"),
    message:
        "Match the sky levels of {wildcards.product}"
    script:
        "../scripts/skymatch.py"


rule median:
    input:
        exposures=of(plan.stage2_files),
        facts="<results>/{product}/work/{product}_facts.zip",
        alignment="<results>/{product}/work/{product}_alignment.json",
        sky=optional(plan.sky_file),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/work/{product}_median.fits",
    log:
        "<logs>/{product}/median.log",
    conda:
        "../envs/snakewebb.yaml"
    threads: 8
    resources:
        mem_mb=memory(1500, 0.05),
        runtime=minutes,
    params:
        code=code("median"),
        step=options("outlier_detection", "median"),
    message:
        "Take the median of {wildcards.product}"
    script:
        "../scripts/median.py"


rule crf:
    input:
        exposure=of(plan.stage2_file),
        facts="<results>/{product}/work/{exposure}_facts.json",
        alignment="<results>/{product}/work/{product}_alignment.json",
        siblings=of(siblings, plan=plan),
        sky=optional(plan.sky_file),
        median=optional(plan.median_file),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/{exposure}_{asn_id}_crf.fits",
    log:
        "<logs>/{product}/crf/{exposure}_{asn_id}.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(700, 2.5, largest="exposure"),
        runtime=minutes,
    params:
        code=code("crf"),
        step=of(plan.crf_options),
    message:
        "Flag outliers in {wildcards.exposure}"
    script:
        "../scripts/crf.py"


rule i2d:
    input:
        exposures=of(plan.files, kind="crf"),
        facts="<results>/{product}/work/{product}_facts.zip",
        alignment="<results>/{product}/work/{product}_alignment.json",
        output_wcs=optional(fields.output_wcs),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/{product}_i2d.fits",
    log:
        "<logs>/{product}/i2d.log",
    wildcard_constraints:
        product=IMAGE3,
    conda:
        "../envs/snakewebb.yaml"
    threads: 8
    resources:
        mem_mb=memory(1500, 0.05),
        runtime=minutes,
    params:
        code=code("i2d"),
        step=of(fields.mosaic_options),
        asn=of(plan.asn_metadata),
    message:
        "Drizzle the mosaic of {wildcards.product}"
    script:
        "../scripts/i2d.py"


rule exposure_i2d:
    input:
        exposures=["<results>/{product}/{exposure}_{asn_id}_crf.fits"],
        facts="<results>/{product}/work/{product}_facts.zip",
        alignment="<results>/{product}/work/{product}_alignment.json",
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/{exposure}_{asn_id}_i2d.fits",
    log:
        "<logs>/{product}/exposure_i2d/{exposure}_{asn_id}.log",
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(1200, 4),
        runtime=minutes,
    params:
        code=code("i2d"),
        step=of(plan.mosaic_options, grid="exposure_i2d"),
        asn=of(plan.asn_metadata),
    message:
        "Rectify {wildcards.exposure}"
    script:
        "../scripts/i2d.py"


rule source_catalog:
    input:
        unpack(of(plan.references, names=("apcorr", "abvegaoffset"))),
        mosaic="<results>/{product}/{product}_i2d.fits",
        made_of=of(plan.made_of),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/{product}/{product}_cat.fits",
        "<results>/{product}/{product}_cat.reg",
        out=[
            "<results>/{product}/{product}_cat.ecsv",
            "<results>/{product}/{product}_segm.fits",
        ],
    log:
        "<logs>/{product}/source_catalog.log",
    wildcard_constraints:
        product=IMAGE3,
    # Pictures of the mosaic can be drawn beside it.
    priority: 1
    conda:
        "../envs/snakewebb.yaml"
    threads: of(plan.catalog_threads)
    resources:
        mem_mb=memory(1200, 0),
        runtime=minutes,
    params:
        code=code("source_catalog"),
        step=options("source_catalog", "source_catalog"),
        names=of(
            plan.reference_names,
            names=("apcorr", "abvegaoffset", "pars-source_catalog"),
        ),
    message:
        "Catalogue the sources of {wildcards.product}"
    script:
        "../scripts/source_catalog.py"


rule completeness:
    input:
        unpack(of(plan.references, names=("apcorr",))),
        mosaic="<results>/{product}/{product}_i2d.fits",
        kernels=ancient("<results>/kernels.done"),
    output:
        completeness="<results>/{product}/{product}_completeness.ecsv",
    log:
        "<logs>/{product}/completeness.log",
    conda:
        "../envs/snakewebb.yaml"
    threads: of(plan.catalog_threads)
    resources:
        mem_mb=memory(1200, 0),
        runtime=minutes,
    params:
        code=code("completeness"),
        step=options("source_catalog", "completeness"),
    message:
        "Measure how complete the catalogue of {wildcards.product} is"
    script:
        "../scripts/completeness.py"
