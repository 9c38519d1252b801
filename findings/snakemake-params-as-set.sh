#!/usr/bin/env bash
# Snakemake 9.27.1: parameters of a rule are compared as a set of values, without their names.
#
# A rule has the parameters `low` and `high`. Its file is made with low=5, high=3; then the two values
# change places.
# Expected: the job runs again ("Params have changed since last execution").
# Seen: "Nothing to be done"; the file made with the old parameters counts as up to date. A value that
# was not there before (low=4) does make it run. One parameter that is a dictionary is compared whole.
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
        low=config["low"],
        high=config["high"],
    shell:
        "echo low {params.low} high {params.high} > {output}"
SNAKEFILE

run() { venv/bin/snakemake --cores 1 --config low="$1" high="$2" > log.txt 2>&1; cat limits.txt; }

first=$(run 5 3)
swapped=$(run 3 5)
new=$(run 4 3)
printf '%s\n' "low=5 high=3: $first" "low=3 high=5: $swapped" "low=4 high=3: $new"
[ "$first" = "low 5 high 3" ]
[ "$swapped" = "low 5 high 3" ]
[ "$new" = "low 4 high 3" ]
