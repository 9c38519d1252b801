from snakewebb.job import job
from snakewebb.coron_figures import plot_eigenvalues, plot_shifts, plot_subtraction
from snakewebb.coron_status import write_status
from snakewebb.exposure import read_notes, read_planes

with job(snakemake.log[0]):
    names, out = snakemake.params.exposures, snakemake.output
    klip = [read_notes(path)["klip"] for path in snakemake.input.subtracted]
    subtracted = dict(zip(names, klip, strict=True))
    align = [read_notes(path)["align_refs"] for path in snakemake.input.references]
    aligned = dict(zip(names, align, strict=False))
    flagged = dict(zip(snakemake.params.members, snakemake.input.exposures, strict=True))
    pairs = {}
    for name, path in zip(names, snakemake.input.subtracted, strict=True):
        before, after = (read_planes(file, ("SCI",))["SCI"] for file in (flagged[name], path))
        pairs[name] = before, after, subtracted[name]["star"]["center"]
    plot_subtraction(pairs, klip[0]["star"]["pixel_scale"], out.subtraction)
    plot_shifts(aligned, out.shifts)
    spectra = {name: notes.get("eigenvalues", []) for name, notes in subtracted.items()}
    plot_eigenvalues(spectra, snakemake.params.truncate, out.eigenvalues)
    write_status(flagged, aligned, subtracted, out.status)
