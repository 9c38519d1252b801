#!/usr/bin/env bash
# Snakemake 9.27.1: --list-params-changes lists files whose parameters did not change.
#
# A file is made, and the question put right after, with the same configuration.
# Expected: nothing is listed, as `snakemake -n` says "Nothing to be done".
# Seen: the file is listed. So the option does not tell what a new run would make again; `-n` does.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check snakemake==9.27.1

cat > Snakefile <<'SNAKEFILE'
rule clip:
    output:
        "limits.txt",
    params:
        low=5,
    shell:
        "echo {params.low} > {output}"
SNAKEFILE

venv/bin/snakemake --cores 1 > log.txt 2>&1
planned=$(venv/bin/snakemake --dry-run 2>&1 | grep -o "Nothing to be done")
listed=$(venv/bin/snakemake --list-params-changes 2> /dev/null)
printf '%s\n' "--dry-run: $planned" "--list-params-changes: $listed"
[ "$planned" = "Nothing to be done" ]
[ "$listed" = "limits.txt" ]
