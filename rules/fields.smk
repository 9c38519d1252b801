# Products of one field: one grid, one detection image, one catalogue of all filters.


rule field_stars:
    input:
        facts=of(fields.facts_files),
        solution="<results>/fields/{field}.json",
    output:
        stars="<results>/fields/{field}/work/{field}_stars.ecsv",
    log:
        "<logs>/fields/{field}/field_stars.log",
    wildcard_constraints:
        field=FIELDS,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(700, 20),
        runtime=minutes,
    params:
        code=code("field_stars"),
    message:
        "List the stars of {wildcards.field}"
    script:
        "../scripts/field_stars.py"


rule field_grid:
    input:
        alignments=of(fields.alignments),
        archives=of(fields.archives),
    output:
        grid="<results>/fields/{field}/work/{field}_grid.asdf",
    log:
        "<logs>/fields/{field}/field_grid.log",
    wildcard_constraints:
        field=FIELDS,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(700, 20),
        runtime=minutes,
    params:
        code=code("field_grid"),
        products=of(fields.frame_products),
        step=of(fields.grid_options),
    message:
        "Lay out the grid of {wildcards.field}"
    script:
        "../scripts/field_grid.py"


rule field_detection:
    input:
        mosaics=of(fields.detection_mosaics),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/fields/{field}/{field}_detection.fits",
    log:
        "<logs>/fields/{field}/field_detection.log",
    wildcard_constraints:
        field=FIELDS,
    conda:
        "../envs/snakewebb.yaml"
    threads: 4
    resources:
        mem_mb=memory(1000, 0),
        runtime=minutes,
    params:
        code=code("field_detection"),
        products=of(fields.detection_products),
        bkg_boxsize=of(fields.bkg_boxsize),
    message:
        "Combine the mosaics of {wildcards.field}"
    script:
        "../scripts/field_detection.py"


rule field_catalog:
    input:
        detection="<results>/fields/{field}/{field}_detection.fits",
        mosaics=of(fields.mosaics),
        apcorr=of(fields.apcorr),
        kernels=ancient("<results>/kernels.done"),
    output:
        "<results>/fields/{field}/{field}_cat.fits",
        "<results>/fields/{field}/{field}_cat.reg",
        catalog="<results>/fields/{field}/{field}_cat.ecsv",
        segmentation="<results>/fields/{field}/{field}_segm.fits",
    log:
        "<logs>/fields/{field}/field_catalog.log",
    wildcard_constraints:
        field=FIELDS,
    # Pictures can be drawn beside it.
    priority: 1
    conda:
        "../envs/snakewebb.yaml"
    threads: 2
    resources:
        mem_mb=memory(1200, 0),
        runtime=minutes,
    params:
        code=code("field_catalog"),
        products=of(fields.shown),
        apcorr=of(fields.apertures),
        step=of(fields.catalog_options),
    message:
        "Catalogue the sources of {wildcards.field}"
    script:
        "../scripts/field_catalog.py"


rule plot_rgb:
    input:
        mosaics=of(fields.mosaics),
    output:
        report(
            "<results>/fields/{field}/{field}_rgb.png",
            caption="../report/rgb.rst",
            category="{field}",
            labels={"figure": "1 Colours"},
        ),
    log:
        "<logs>/fields/{field}/plot_rgb.log",
    wildcard_constraints:
        field=FIELDS,
    conda:
        "../envs/snakewebb.yaml"
    resources:
        mem_mb=memory(800, 0),
        runtime=minutes,
    params:
        code=code("plot_rgb"),
    message:
        "Draw {wildcards.field} in colours"
    script:
        "../scripts/plot_rgb.py"
