#!/usr/bin/env bash
# Snakemake 9.27.1: planning compares the input of a job that gathers with its output once for each
# job that reads this output.
#
# N jobs `back` read, each, the one file that the job `gather` makes of N others: the pattern of
# gathering, and then finishing one by one. A dry run is made for several N, and comparisons of files
# are counted.
# Expected: 3 N + 1 jobs with 2 N inputs and N more: the number of comparisons grows as N does.
# Seen: it grows as N squared, by N comparisons for each `back` (166,403 of them for N = 400).
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check snakemake==9.27.1

cat > Snakefile <<'SNAKEFILE'
NUMBERS = range(int(config["number"]))


rule all:
    input:
        expand("back/{i}", i=NUMBERS),


rule one:
    output:
        "one/{i}",
    shell:
        "touch {output}"


rule gather:
    input:
        expand("one/{i}", i=NUMBERS),
    output:
        "gathered",
    shell:
        "touch {output}"


rule back:
    input:
        "gathered",
    output:
        "back/{i}",
    shell:
        "touch {output}"
SNAKEFILE

cat > count.py <<'PYTHON'
import sys
from snakemake import cli, io

compare, count = io._IOFile.__eq__, 0


def counted(self, other):
    global count
    count += 1
    return compare(self, other)


io._IOFile.__eq__ = counted
try:
    cli.main(["--dry-run", "--quiet", "--config", f"number={sys.argv[1]}"])
except SystemExit:
    pass
print(count, file=sys.stderr)
PYTHON

declare -A seen
for n in 100 200 400; do
    seen[$n]=$(venv/bin/python count.py $n 2>&1 > log.txt | tail -1)
    echo "N = $n: ${seen[$n]} comparisons"
done
# Twice as many files, at least three times as many comparisons.
[ "${seen[100]}" -ge 10000 ]
[ "${seen[200]}" -ge $((3 * seen[100])) ]
[ "${seen[400]}" -ge $((3 * seen[200])) ]
