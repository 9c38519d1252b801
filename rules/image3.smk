# From calibrated exposures to mosaic, catalogue and segmentation map (calwebb_image3).


rule kernels:
    input:
        library=library("kernels"),
    output:
        touch("<results>/kernels.done"),
    log:
        "<logs>/kernels.log",
    benchmark:
        "<benchmarks>/kernels.tsv"
    conda:
        "../envs/snakewebb.yaml"
    message:
        "Compile the kernels"
    script:
        "../scripts/kernels.py"


rule write_association:
    input:
        library=library("write_association"),
    output:
        "<results>/{product}/{product}_asn.json",
    log:
        "<logs>/{product}/write_association.log",
    benchmark:
        "<benchmarks>/{product}/write_association.tsv"
    localrule: True
    conda:
        "../envs/snakewebb.yaml"
    params:
        files=listed_files,
    message:
        "Write the association of {wildcards.product}"
    script:
        "../scripts/write_association.py"


rule find_sources:
    input:
        exposure=calibrated,
        catalog=custom_catalog,
        kernels=ancient("<results>/kernels.done"),
        library=library("find_sources"),
    output:
        sources="<results>/{product}/work/{exposure}_sources.ecsv",
        geometry="<results>/{product}/work/{exposure}_geometry.json",
    log:
        "<logs>/{product}/find_sources/{exposure}.log",
    benchmark:
        "<benchmarks>/{product}/find_sources/{exposure}.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(600, 6),
    params:
        step=options("tweakreg", "find_sources"),
        group_id=group_id,
    message:
        "Find stars in {wildcards.exposure}"
    script:
        "../scripts/find_sources.py"


rule align:
    input:
        sources=per_exposure("<results>/{product}/work/{exposure}_sources.ecsv"),
        geometry=per_exposure("<results>/{product}/work/{exposure}_geometry.json"),
        refcat=reference_catalog,
        library=library("align"),
    output:
        "<results>/{product}/work/{product}_alignment.json",
    log:
        "<logs>/{product}/align.log",
    benchmark:
        "<benchmarks>/{product}/align.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 20),
    params:
        tweakreg=options("tweakreg", "align"),
        find_sources=options("tweakreg", "find_sources"),
        assign_mtwcs=options("assign_mtwcs", "align"),
        max_megapixels=config["max_mosaic_megapixels"],
    message:
        "Align the exposures of {wildcards.product}"
    script:
        "../scripts/align.py"


rule sky_overlaps:
    input:
        exposure=calibrated,
        geometry="<results>/{product}/work/{exposure}_geometry.json",
        alignment="<results>/{product}/work/{product}_alignment.json",
        kernels=ancient("<results>/kernels.done"),
        library=library("sky_overlaps"),
    output:
        "<results>/{product}/work/{exposure}_overlaps.json",
    log:
        "<logs>/{product}/sky_overlaps/{exposure}.log",
    benchmark:
        "<benchmarks>/{product}/sky_overlaps/{exposure}.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(500, 3),
    params:
        step=options("skymatch", "sky_overlaps"),
    message:
        "Measure the sky of {wildcards.exposure} in its overlaps"
    script:
        "../scripts/sky_overlaps.py"


rule skymatch:
    input:
        overlaps=per_exposure("<results>/{product}/work/{exposure}_overlaps.json"),
        skylist=sky_list,
        library=library("skymatch"),
    output:
        "<results>/{product}/work/{product}_sky.json",
    log:
        "<logs>/{product}/skymatch.log",
    benchmark:
        "<benchmarks>/{product}/skymatch.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(500, 20),
    params:
        step=options("skymatch", "skymatch"),
        overlaps=options("skymatch", "sky_overlaps"),
    message:
        "Match the sky levels of {wildcards.product}"
    script:
        "../scripts/skymatch.py"


rule median:
    input:
        exposures=calibrated_exposures,
        geometry=per_exposure("<results>/{product}/work/{exposure}_geometry.json"),
        alignment="<results>/{product}/work/{product}_alignment.json",
        sky=matched_sky,
        kernels=ancient("<results>/kernels.done"),
        library=library("median"),
    output:
        "<results>/{product}/work/{product}_median_{band}.fits",
    log:
        "<logs>/{product}/median/{band}.log",
    benchmark:
        "<benchmarks>/{product}/median/{band}.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(1500, 0),
    params:
        step=options("outlier_detection", "median"),
        bands=bands,
    message:
        "Take the median of {wildcards.product}, band {wildcards.band}"
    script:
        "../scripts/median.py"


rule crf:
    input:
        exposure=calibrated,
        geometry="<results>/{product}/work/{exposure}_geometry.json",
        alignment="<results>/{product}/work/{product}_alignment.json",
        sky=matched_sky,
        median=median_bands,
        kernels=ancient("<results>/kernels.done"),
        library=library("crf"),
    output:
        "<results>/{product}/{exposure}_{asn_id}_crf.fits",
    log:
        "<logs>/{product}/crf/{exposure}_{asn_id}.log",
    benchmark:
        "<benchmarks>/{product}/crf/{exposure}_{asn_id}.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory_of_exposure(800, 4),
    params:
        outlier_detection=options("outlier_detection", "crf"),
        median=options("outlier_detection", "median"),
        sip=sip_options,
        skymatch=options("skymatch", "crf"),
        asn=asn_metadata,
    message:
        "Flag outliers in {wildcards.exposure}"
    script:
        "../scripts/crf.py"


rule grid:
    input:
        geometry=per_exposure("<results>/{product}/work/{exposure}_geometry.json"),
        alignment="<results>/{product}/work/{product}_alignment.json",
        output_wcs=output_wcs,
        library=library("grid"),
    output:
        "<results>/{product}/work/{product}_grid.json",
    log:
        "<logs>/{product}/grid.log",
    benchmark:
        "<benchmarks>/{product}/grid.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(600, 20),
    params:
        step=options("resample", "grid"),
        max_megapixels=config["max_mosaic_megapixels"],
    message:
        "Lay out the mosaic of {wildcards.product}"
    script:
        "../scripts/grid.py"


rule drizzle:
    input:
        exposures=resampled_exposures,
        geometry=per_exposure("<results>/{product}/work/{exposure}_geometry.json"),
        grid="<results>/{product}/work/{product}_grid.json",
        kernels=ancient("<results>/kernels.done"),
        library=library("drizzle"),
    output:
        "<results>/{product}/work/{product}_mosaic_{band}.fits",
    log:
        "<logs>/{product}/drizzle/{band}.log",
    benchmark:
        "<benchmarks>/{product}/drizzle/{band}.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(1500, 0),
    params:
        step=options("resample", "drizzle"),
        bands=bands,
    message:
        "Drizzle {wildcards.product}, band {wildcards.band}"
    script:
        "../scripts/drizzle.py"


rule i2d:
    input:
        bands=per_band("<results>/{product}/work/{product}_mosaic_{band}.fits"),
        exposures=resampled_exposures,
        grid="<results>/{product}/work/{product}_grid.json",
        library=library("i2d"),
    output:
        "<results>/{product}/{product}_i2d.fits",
    log:
        "<logs>/{product}/i2d.log",
    benchmark:
        "<benchmarks>/{product}/i2d.tsv"
    wildcard_constraints:
        product=IMAGE3,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(1500, 0),
    params:
        step=options("resample", "i2d"),
        drizzle=options("resample", "drizzle"),
        grid=options("resample", "grid"),
        output_wcs=output_wcs,
        asn=asn_metadata,
    message:
        "Write the mosaic of {wildcards.product}"
    script:
        "../scripts/i2d.py"


rule exposure_i2d:
    input:
        exposure="<results>/{product}/{exposure}_{asn_id}_crf.fits",
        geometry="<results>/{product}/work/{exposure}_geometry.json",
        alignment="<results>/{product}/work/{product}_alignment.json",
        kernels=ancient("<results>/kernels.done"),
        library=library("exposure_i2d"),
    output:
        "<results>/{product}/{exposure}_{asn_id}_i2d.fits",
    log:
        "<logs>/{product}/exposure_i2d/{exposure}_{asn_id}.log",
    benchmark:
        "<benchmarks>/{product}/exposure_i2d/{exposure}_{asn_id}.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(900, 8),
    params:
        drizzle=options("resample", "drizzle"),
        step=options("resample", "i2d"),
        grid=options("resample", "exposure_i2d"),
        asn=asn_metadata,
    message:
        "Rectify {wildcards.exposure}"
    script:
        "../scripts/exposure_i2d.py"


rule source_catalog:
    input:
        unpack(photometric_references),
        mosaic="<results>/{product}/{product}_i2d.fits",
        kernels=ancient("<results>/kernels.done"),
        library=library("source_catalog"),
    output:
        catalog="<results>/{product}/{product}_cat.ecsv",
        segmentation="<results>/{product}/{product}_segm.fits",
    log:
        "<logs>/{product}/source_catalog.log",
    benchmark:
        "<benchmarks>/{product}/source_catalog.tsv"
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(1000, 9),
    params:
        step=options("source_catalog", "source_catalog"),
    message:
        "Catalogue the sources of {wildcards.product}"
    script:
        "../scripts/source_catalog.py"
