#!/usr/bin/env bash
# Snakemake 9.27.1: what an input function returns is formatted once more: braces in names of files are
# wildcards, angle brackets path variables.
#
# A rule copies what its input function returns to `{x}.out`; asked for is `1.out`.
# Expected: the function is given the wildcards, and returns the name of a file; that file is copied.
# Seen: `in{x}.txt`, which exists, is not: `in1.txt` is copied in its place, without a word. A file
# `in{y}.txt` stops the run (WildcardError), and so does `in<y>.txt` (UndefinedPathvarException), in
# words that do not tell that the name came from the function. Doubled braces are no way out: what
# `in{{x}}.txt` gives is `in{1}.txt`.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check snakemake==9.27.1

cat > Snakefile <<'SNAKEFILE'
import os


def named(wildcards):
    return os.environ["NAME"]


rule copy:
    input:
        named,
    output:
        "{x}.out",
    run:
        with open(input[0]) as source, open(output[0], "w") as target:
            target.write(source.read())
SNAKEFILE

copy() {
    rm -f 1.out
    NAME=$1 venv/bin/snakemake --cores 1 1.out > log.txt 2>&1 || true
    if [ -f 1.out ]; then cat 1.out; else grep -oE 'WildcardError|Undefined[A-Za-z]+|MissingInputException' log.txt | head -1; fi
}

for name in 'plain.txt' 'in{x}.txt' 'in{y}.txt' 'in<y>.txt' 'in1.txt' 'in{1}.txt'; do
    echo "the content of $name" > "$name"
done
plain=$(copy 'plain.txt') filled=$(copy 'in{x}.txt') braces=$(copy 'in{y}.txt') angles=$(copy 'in<y>.txt')
doubled=$(copy 'in{{x}}.txt')
printf '%s\n' "plain.txt: $plain" "in{x}.txt: $filled" "in{y}.txt: $braces" "in<y>.txt: $angles" \
    "in{{x}}.txt: $doubled"
[ "$plain" = "the content of plain.txt" ]
[ "$filled" = "the content of in1.txt" ]
[ "$braces" = "WildcardError" ]
[ "$angles" = "UndefinedPathvarException" ]
[ "$doubled" = "the content of in{1}.txt" ]
