# Configuration, associations and input functions: the only functions of the workflow.
import ast
import os
import re
import sys
from collections import Counter
from functools import cache
from glob import glob
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Not workflow.basedir, which is that of a workflow that imports this one.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parent
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        filter(None, [str(ROOT / "lib"), os.environ.get("PYTHONPATH")])
    )
)
sys.path.insert(0, str(ROOT / "lib"))

from snakewebb.errors import InputError
from snakewebb.io import provenance, strict
from snakewebb.io.dq import bad_mask
from snakewebb.references import select
from snakewebb.io.names import product_name
from snakewebb.workflow import associations, checks
from snakewebb.workflow import config as configuration
from snakewebb.workflow.lock import occupy
from snakewebb.workflow.logs import STOPPED, Failures

CONFIGFILE = "config/config.yaml"


def check_configfiles():
    """Say which configuration file is broken, or has a key twice."""
    if workflow.modifier.skip_configfile:
        return
    given = workflow.overwrite_configfiles
    if os.path.exists(CONFIGFILE) or not given:
        strict.check_config(CONFIGFILE)
    for path in given:
        strict.check_config(path)


def by_product_name(products):
    """Return the configuration of products by the names that these have."""
    named = {}
    for name, entry in products.items():
        if named.setdefault(product_name(name), entry) is not entry:
            raise InputError(f"products.{name}: is given under two names: keep one")
    return named


def load_products():
    """Return all products by name, from associations and from files named in the config."""
    found = [
        product for path in config["associations"] for product in associations.read(path)
    ]
    for name in OF_FILES:
        found.append(associations.of_files(name, files_of_product(name)))
    names = Counter(product.name for product in found)
    for name, count in names.items():
        if count > 1:
            tables = ", ".join(p.table for p in found if p.name == name)
            raise InputError(
                f"product {name} stands in the config {count} times ({tables}): keep one"
            )
    for name in config["products"]:
        if name not in names:
            raise InputError(
                f"products.{name}: no association has this product: known are "
                f"{', '.join(names) or 'none'}; or give 'science'"
            )
    if not found:
        raise InputError(
            "nothing to do: list your associations under 'associations' in config.yaml"
        )
    return {product.name: product for product in found}


def files_of_product(name):
    """Return the files that make a product without an association, by exptype."""
    entry = config["products"][name]
    return {exptype: matching(entry[exptype]) for exptype in ("science", "psf")}


def matching(patterns):
    """Return the files of one pattern or several, or say which one matches nothing."""
    files = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        # Names may have brackets in them.
        matches = [pattern] if os.path.isfile(pattern) else sorted(glob(pattern))
        if not matches:
            raise InputError(f"{pattern}: no file matches: check 'products'")
        files += matches
    return files


def load_catalogs():
    """Return the user's source catalogues: by product, by exposure."""
    catalogs = {}
    for name, product in PRODUCTS.items():
        step, exposures = steps(name)["tweakreg"], product.of_type("science")
        catalogs[name] = {}
        if not step["use_custom_catalogs"] or step["skip"] or product.coronagraphic:
            continue
        if step["catfile"]:
            listed = associations.read_catfile(step["catfile"])
            catalogs[name] = {e: listed[e] for e in exposures if e in listed}
        else:
            catalogs[name] = {
                e: m.tweakreg_catalog
                for e, m in exposures.items()
                if m.tweakreg_catalog
            }
    return catalogs


def reference_files(product):
    """Return the paths of reference files that hold for a product."""
    files = config["products"].get(product, config)["reference_files"]
    if not isinstance(files["psfmask"], dict):
        return files
    first = PRODUCTS[product].members[0].path
    return {**files, "psfmask": select.choose(files["psfmask"], first)}


def check_products():
    """Say what stands in the way of a product, as far as it can be known before any job runs."""
    for name, product in PRODUCTS.items():
        check_bits(name)
        check_files(name, product)
        if product.coronagraphic:
            check_together(name, product)


def check_bits(name):
    """Say which parameter names a DQ bit that there is none."""
    for step, parameters in steps(name).items():
        for key in {"dqbits", "good_bits", "bad_bits"} & parameters.keys():
            try:
                bad_mask(parameters[key])
            except InputError as error:
                raise InputError(f"steps.{step}.{key}: {error}") from None


def check_files(name, product):
    """Say which file of a product is missing, or would be that of another product."""
    checks.check_files(product)
    if config["exposure_i2d"]:
        for exposure in product.of_type("science"):
            if name == f"{exposure}_{product.asn_id}":
                raise InputError(
                    f"{name}: is the name of its exposure's _i2d, too: give the product another"
                )
    named = dict(reference_files(name))
    sky = steps(name)["skymatch"]
    if sky["skymethod"] == "user" and not sky["skip"]:
        named["skylist"] = sky["skylist"] or "skymatch.skylist"
    named |= {f"catalogue of {e}": path for e, path in CATALOGS[name].items()}
    for key, path in named.items():
        if path:
            checks.check_path(path, key)


def uses(product, references):
    """Return whether a product's star is subtracted with ``RDI`` references, or with ``ADI``."""
    klip = steps(product)["klip"]
    return references in klip["strategy"] and not klip["skip"]


def has_contrast(product):
    """Return whether a product's contrast is to be measured."""
    own = steps(product)
    return not any(own[step]["skip"] for step in ("klip", "resample", "contrast"))


def check_together(name, product):
    """Say which exposures or reference files of coronagraphy do not belong together."""
    files, klip = reference_files(name), steps(name)["klip"]
    aligned = uses(name, "RDI") and not steps(name)["align_refs"]["skip"]
    images = {"psfmask": files["psfmask"]} if aligned else {}
    if has_contrast(name):
        images |= {key: files[key] for key in ("psf", "throughput")}
    strategy = None if klip["skip"] else klip["strategy"]
    checks.check_together(product, strategy=strategy, images=images)


def tell_unused():
    """Say once what associations and catalogues hold, or lack, without an error."""
    unused = Counter()
    for name, product in PRODUCTS.items():
        unused.update(product.unused)
        exposures, known = product.of_type("science"), CATALOGS[name]
        step = steps(name)["tweakreg"]
        if (
            step["use_custom_catalogs"]
            and not step["skip"]
            and len(known) < len(exposures)
        ):
            tell(
                f"{name}: {len(exposures) - len(known)} of {len(exposures)} exposures have no "
                "custom catalogue: their stars are searched"
            )
    if unused:
        found = ", ".join(f"{what} ({number})" for what, number in unused.items())
        tell(f"associations hold what is not used: {found}")


def steps(product):
    """Return the step parameters that hold for a product."""
    return config["products"].get(product, {}).get("steps", config["steps"])


def check_made_files():
    """Say which file is missing, or no grid, that a product of this workflow may be, too."""
    for name in PRODUCTS:
        wildcards = SimpleNamespace(product=name)
        for key, named in {
            "tweakreg.abs_refcat": reference_catalog(wildcards),
            "resample.output_wcs": output_wcs(wildcards),
        }.items():
            if named and not any(r.is_producer(named) for r in workflow.rules):
                try:
                    checks.check_path(named, key)
                    if key == "resample.output_wcs" and workflow.is_main_process:
                        check_output_wcs(named, name)
                except InputError as error:
                    give_up(error)


def check_output_wcs(path, product):
    """Raise where a user's output grid is wrong, before the work that it is for."""
    from snakewebb.wcs.output_wcs import read_grid

    read_grid(path, 1.0, steps(product)["resample"]["output_shape"])


def give_up(message):
    """End with one line."""
    sys.exit(f"snakewebb: {message}")


def tell(message):
    """Say something in one line."""
    print(f"snakewebb: {InputError(message)}", file=sys.stderr)


def tell_failures():
    """Say in one line each why jobs failed."""
    mend = ""
    for path, words in FAILURES.reasons():
        tell(f"{path}: {words}")
        mend = mend if words.startswith(STOPPED) else "mend this and "
    tell(f"{mend}give the same command again: what is made stays")


FAILURES = Failures()
try:
    if workflow.is_main_process:
        logger.addHandler(FAILURES)
        occupy(".snakemake")
        if Path("results").exists() and not os.access("results", os.W_OK):
            tell("results: is read-only: a run will fail")
        check_configfiles()
except InputError as error:
    give_up(error)


configfile: CONFIGFILE


try:
    provenance.date()  # SOURCE_DATE_EPOCH, where that is set, is to be a time
    with open(ROOT / "config" / "schema.yaml") as file:
        SCHEMA = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    config = configuration.complete(config, SCHEMA)
    config["products"] = by_product_name(config["products"])
    OF_FILES = [n for n, p in config["products"].items() if p["science"] or p["psf"]]
    PRODUCTS = load_products()
    CATALOGS = load_catalogs()
    if workflow.is_main_process:
        check_products()
        tell_unused()
except InputError as error:
    give_up(error)


def forms_of(names):
    """Return a short regular expression for many names: any digits where they have some."""
    return "|".join(sorted({re.sub(r"\d+", r"\\d+", re.escape(n)) for n in names}))


def names_of(values):
    """Return a regular expression that matches the given names only."""
    return "|".join(re.escape(value) for value in sorted(values)) or "none"


CORON3 = names_of(name for name, p in PRODUCTS.items() if p.coronagraphic)
IMAGE3 = names_of(name for name, p in PRODUCTS.items() if not p.coronagraphic)


wildcard_constraints:
    product=names_of(PRODUCTS),
    # Thousands of names in full make Snakemake take minutes.
    exposure=forms_of(m.exposure for p in PRODUCTS.values() for m in p.members),
    asn_id=names_of({product.asn_id for product in PRODUCTS.values()}),
    modes=r"|_k\d+",


def options(step, rule):
    """Return a function of the wildcards: the parameters of a step that a rule uses."""

    def of(wildcards):
        return configuration.options(steps(wildcards.product), SCHEMA, step, rule)

    return of


def import_statements(node):
    """Find the imports below a node of a syntax tree; they are no part of expressions."""
    for field in ("body", "orelse", "finalbody", "handlers"):
        for statement in getattr(node, field, ()):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield statement
            else:
                yield from import_statements(statement)


@cache
def imports(file):
    """Return the library modules that a Python file imports."""
    names = []
    for node in import_statements(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    own = [name.split(".") for name in names if name.startswith("snakewebb")]
    paths = [ROOT.joinpath("lib", *parts) for parts in own]
    files = [f for p in paths for f in (p.with_suffix(".py"), p / "__init__.py")]
    return [file for file in files if file.is_file()]


def library(script):
    """Return a digest of a script and all library modules that it imports, directly or not.

    As a parameter it makes rules run again after an edit, and only then, not after a checkout.
    """
    todo = [ROOT / "scripts" / f"{script}.py"]
    modules = set(todo)
    while todo:
        found = set(imports(todo.pop())) - modules
        modules |= found
        todo += found
    digest = sha256()
    for module in sorted(modules):
        digest.update(module.read_bytes())
    return f"{script}.py and what it imports: {digest.hexdigest()[:16]}"


def science(wildcards):
    """Return the science members of a product by exposure name."""
    return PRODUCTS[wildcards.product].of_type("science")


def calibrated(wildcards):
    """Return the stage-2 file of one exposure."""
    product, exposure = PRODUCTS[wildcards.product], wildcards.exposure
    if exposure not in product.of_type("science"):
        raise WorkflowError(f"{exposure} is no exposure of {product.name}")
    if wildcards.get("asn_id", product.asn_id) != product.asn_id:
        raise WorkflowError(f"files of {product.name} have the id {product.asn_id}")
    return product.of_type("science")[exposure].path


def member_file(wildcards):
    """Return the stage-2 file of one exposure, of the target or a reference."""
    product = PRODUCTS[wildcards.product]
    for member in product.members:
        if member.exposure == wildcards.exposure and wildcards.asn_id == product.asn_id:
            return member.path
    raise WorkflowError(f"{wildcards.exposure} is no exposure of {product.name}")


def same_type(wildcards):
    """Return the other exposures of a product that are of the target, or of references, too."""
    members = PRODUCTS[wildcards.product].members
    kind = [m.exptype for m in members if m.exposure == wildcards.exposure]
    return [
        m.path
        for m in members
        if [m.exptype] == kind and m.exposure != wildcards.exposure
    ]


def crfints_of(exptype):
    """Return a function of the wildcards: the flagged exposures of a type."""

    def of(wildcards):
        product = PRODUCTS[wildcards.product]
        return [
            f"<results>/{product.name}/{exposure}_{product.asn_id}_crfints.fits"
            for exposure in product.of_type(exptype)
        ]

    return of


def truncations(product):
    """Return the numbers of modes by what they add to the names of files, the headline first."""
    numbers = steps(product)["klip"]["truncate"]
    first, *others = numbers if isinstance(numbers, list) else [numbers]
    return {"": first, **{f"_k{number}": number for number in others}}


def klip_options(wildcards):
    """Return the parameters of klip with the one number of modes that a file is for."""
    known = truncations(wildcards.product)
    if wildcards.modes in known:
        number = known[wildcards.modes]
    else:
        number = int(wildcards.modes.removeprefix("_k"))
    return {**options("klip", "psfsub")(wildcards), "truncate": number}


def all_truncations(wildcards):
    """Return all numbers of modes of a product, the headline first."""
    return list(truncations(wildcards.product).values())


def contrast_klip_options(wildcards):
    """Return the parameters of klip with all numbers of modes."""
    numbers = all_truncations(wildcards)
    return {**options("klip", "contrast")(wildcards), "truncate": numbers}


def star_brightness(wildcards):
    """Return what is known of the star's brightness, from the config or else the association."""
    own = options("contrast", "contrast")(wildcards)
    given = any(value is not None for value in own.values())
    return own if given else {**own, **PRODUCTS[wildcards.product].star}


def other_rolls(wildcards):
    """Return the other exposures of the target, where they are references."""
    if not uses(wildcards.product, "ADI"):
        return []
    own = f"{wildcards.exposure}_{wildcards.asn_id}_crfints.fits"
    return [path for path in crfints_of("science")(wildcards) if not path.endswith(own)]


def aligned_references(wildcards):
    """Return the references shifted onto one exposure's star, where they are used."""
    if not uses(wildcards.product, "RDI"):
        return []
    template = "<results>/{product}/{exposure}_{asn_id}_psfalign.fits"
    return [template.format(**wildcards)]


def all_aligned_references(wildcards):
    """Return the same for all exposures."""
    if not uses(wildcards.product, "RDI"):
        return []
    return per_exposure("<results>/{product}/{exposure}_{asn_id}_psfalign.fits")(
        wildcards
    )


def psfsub_exposures(wildcards):
    """Return the subtracted exposures of a product, with the number of modes of its mosaic."""
    modes = wildcards.get("modes", "")
    return per_exposure(
        f"<results>/{{product}}/{{exposure}}_{{asn_id}}{modes}_psfsub.fits"
    )(wildcards)


def alignment_weights(wildcards):
    """Return what the weights for aligning references are from, unless they are not aligned."""
    if steps(wildcards.product)["align_refs"]["skip"]:
        return {}
    path = reference_files(wildcards.product)["psfmask"]
    stars = f"<results>/{wildcards.product}/work/{wildcards.product}_stars.json"
    return {"stars": stars, **({"psfmask": path} if path else {})}


def contrast_references(wildcards):
    """Return the reference files of contrast that are given."""
    files = reference_files(wildcards.product)
    names = ("psf", "throughput", "abvegaoffset")
    return {name: files[name] for name in names if files[name]}


def detections(wildcards):
    """Return the point sources and the SNR map of a product, unless they are not to be made."""
    if not has_contrast(wildcards.product):
        return {}
    own = f"<results>/{wildcards.product}/{wildcards.product}"
    return {"detections": f"{own}_detections.ecsv", "snr": f"{own}_snr.fits"}


def science_names(wildcards):
    """Return the names of a product's science exposures."""
    return list(science(wildcards))


def flagged_names(wildcards):
    """Return the names of a coronagraphic product's exposures, without unused references."""
    product = PRODUCTS[wildcards.product]
    references = product.of_type("psf") if uses(product.name, "RDI") else {}
    return [*product.of_type("science"), *references]


def flagged_members(wildcards):
    """Return the flagged exposures of these."""
    product = PRODUCTS[wildcards.product]
    return [
        f"<results>/{product.name}/{exposure}_{product.asn_id}_crfints.fits"
        for exposure in flagged_names(wildcards)
    ]


def per_exposure(template):
    """Return a function of the wildcards: a file of every exposure of a product."""

    def of(wildcards):
        asn_id = PRODUCTS[wildcards.product].asn_id
        return [
            template.format(product=wildcards.product, exposure=exposure, asn_id=asn_id)
            for exposure in science(wildcards)
        ]

    return of


def sip_options(wildcards):
    """Return how to make a product's SIP keywords; nothing if there are to be none."""
    own = options("tweakreg", "crf")(wildcards)
    wanted = own.pop("sip_approx")
    return {key.removeprefix("sip_"): own[key] for key in own} if wanted else None


def listed_files(wildcards):
    """Return the files of a product without an association, by exptype."""
    return files_of_product(wildcards.product)


def asn_metadata(wildcards):
    """Return what a product's metadata say of its association."""
    product = PRODUCTS[wildcards.product]
    return {
        "asn_id": product.asn_id,
        "pool_name": product.pool,
        "table_name": product.table,
    }


def group_id(wildcards):
    """Return the group that the association gives an exposure; empty if it leaves that open."""
    return science(wildcards)[wildcards.exposure].group_id or ""


def custom_catalog(wildcards):
    """Return the user's source catalogue of an exposure, if there is one."""
    return CATALOGS[wildcards.product].get(wildcards.exposure) or []


def reference_catalog(wildcards):
    """Return the file of the absolute reference catalogue, unless it is a service's name."""
    step = steps(wildcards.product)["tweakreg"]
    name = step["abs_refcat"]
    return (
        [] if step["skip"] or not name or re.fullmatch(r"(?i)GAIA\w*", name) else name
    )


def sky_list(wildcards):
    """Return the user's table of sky levels, if there is to be one."""
    step = steps(wildcards.product)["skymatch"]
    return step["skylist"] if step["skymethod"] == "user" else []


def output_wcs(wildcards):
    """Return the file with the user's output grid, if there is one."""
    return steps(wildcards.product)["resample"]["output_wcs"] or []


def photometric_references(wildcards):
    """Return the reference files of source_catalog that are given."""
    files = reference_files(wildcards.product)
    return {name: files[name] for name in ("apcorr", "abvegaoffset") if files[name]}


def calibrated_exposures(wildcards):
    """Return the stage-2 files of a product."""
    return [member.path for member in science(wildcards).values()]


def catalog_threads(wildcards):
    """Return how many threads make a catalogue: one, beside which there is room for pictures."""
    return 1 if len(science(wildcards)) < 16 else 2


def matched_sky(wildcards):
    """Return the file of matched sky levels, unless the step is skipped."""
    if steps(wildcards.product)["skymatch"]["skip"]:
        return []
    return f"<results>/{wildcards.product}/work/{wildcards.product}_sky.json"


def median_file(wildcards):
    """Return the median of all exposures, unless outliers are not to be flagged."""
    if steps(wildcards.product)["outlier_detection"]["skip"]:
        return []
    return f"<results>/{wildcards.product}/work/{wildcards.product}_median.fits"


def megabytes(files):
    """Return the size of files; Snakemake's own takes a fifth of the time of planning."""
    return sum(os.path.getsize(file) for file in files) / 2**20


def memory(base, factor):
    """Return a function: megabytes for a job, rising with its input and with each attempt.

    On a cluster a job holds two Snakemakes besides the script: 300 MB are theirs.
    """

    def of(wildcards, input, attempt):
        return int((base + factor * megabytes(input)) * attempt)

    return of


def memory_of_threads(base, factor):
    """Return a function: the same, where each thread reads one of the input ``exposures``."""

    def of(wildcards, input, threads, attempt):
        largest = max(Path(path).stat().st_size for path in input.exposures) / 1e6
        return int((base + factor * largest * threads) * attempt)

    return of


def memory_of_exposure(base, factor):
    """Return a function: the same, where only the input ``exposure`` is read whole."""

    def of(wildcards, input, attempt):
        return int(
            (base + factor * Path(input.exposure).stat().st_size / 1e6) * attempt
        )

    return of


def coron_exposures(product):
    """Return the files of all exposures of a coronagraphic product."""
    references = uses(product.name, "RDI")
    return [
        f"<results>/{product.name}/{member.exposure}_{product.asn_id}{kind}.fits"
        for member in product.members
        for kind in (
            "_crfints",
            *(["_psfalign"] if references else []),
            *(f"{modes}_psfsub" for modes in truncations(product.name)),
        )
        if member.exptype == "science" or (references and kind == "_crfints")
    ]


def minutes(wildcards, input, attempt):
    """Return how long a job may take: ample, rising with its input and with each attempt."""
    return int((20 + megabytes(input) / 100) * attempt)


def work_files(product):
    """Return what is made on the way to an imaging product.

    Where a job failed, Snakemake keeps a record as if it had been done. Without its file, but with
    what an earlier run made from it, the file is made again only if it is asked for.
    """
    wildcards = SimpleNamespace(product=product)
    own = f"<results>/{product}/work/{product}"
    files = [f"{own}_alignment.json", f"{own}_facts.zip"]
    files += per_exposure("<results>/{product}/work/{exposure}_facts.json")(wildcards)
    return files + [f for f in (matched_sky(wildcards), median_file(wildcards)) if f]


def targets():
    """Return the files that are made when none is asked for."""
    files = []
    for name, product in PRODUCTS.items():
        own, folder, suffixes, plots = steps(name), f"<results>/{name}", [], []
        extras = truncations(name) if product.coronagraphic else [""]
        if name in OF_FILES:
            suffixes.append("asn.json")
        if product.coronagraphic:
            files += coron_exposures(product)
            if uses(name, "RDI"):
                suffixes.append("psfstack.fits")
            files.append(f"{folder}/work/{name}_stars.json")
            plots += ["subtraction.png", "shifts.png", "eigenvalues.png"]
            plots.append("coron_status.html")
            if has_contrast(name):
                suffixes += ["contrast.ecsv", "detections.ecsv", "snr.fits"]
                plots.append("contrast.png")
        else:
            kinds = ["crf", "i2d"] if config["exposure_i2d"] else ["crf"]
            files += [
                f"{folder}/{exposure}_{product.asn_id}_{kind}.fits"
                for exposure in product.of_type("science")
                for kind in kinds
            ]
            plots += ["alignment.png", "sky.png", "outliers.png", "status.html"]
        if not product.coronagraphic:
            files += work_files(name)
        if not own["resample"]["skip"]:
            files += [f"{folder}/{name}{modes}_i2d.fits" for modes in extras]
            plots.append("mosaic.png")
            if not own["source_catalog"]["skip"] and not product.coronagraphic:
                suffixes += ["cat.ecsv", "segm.fits"]
                plots.append("sources.png")
        files += [f"{folder}/{name}_{suffix}" for suffix in suffixes]
        files += [f"{folder}/plots/{name}_{plot}" for plot in plots]
    return files
