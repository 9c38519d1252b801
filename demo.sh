#!/usr/bin/env bash
# Simulates NIRCam, MIRI and coronagraphic observations in demo/, processes them; for `make demo`.
set -euo pipefail
cores=$1
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here/lib${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p demo/data
cd demo

simulate() { # preset, options
    "$here/.venv/bin/python" -m snakewebb.simulate "$1" "data/$1" "${@:2}" > "data/$1.log" 2>&1
}

echo "Simulating NIRCam, MIRI and coronagraphic observations in demo/data ..."
simulate nircam-f356w
simulate miri-f1130w --rate
simulate nircam-coron
{
    echo "associations:"
    # Of MIRI also those of stage 2, which name its backgrounds; not theirs (-o002).
    ls data/*/*_asn.json | grep -v -e -o002_ | sed 's/^/  - /'
    echo "products:"
    for folder in data/*/; do
        product=$("$here/.venv/bin/python" -c \
            'import json, sys; print(json.load(open(sys.argv[1]))["products"][0]["name"])' \
            "$folder"*3_*_asn.json)
        echo "  $product:"
        echo "    reference_files:"
        if [ -f "${folder}references/psfmask.fits" ]; then
            echo "      psfmask: ${folder}references/psfmask.fits"
            echo "      throughput: $(ls "${folder}"truth/*_throughput.fits)"
        else
            exposure=$(find "$folder" -name '*_cal.fits' | sort | head -n 1)
            "$here/.venv/bin/python" -m snakewebb.simulate.references "$exposure" "${folder}references"
            echo "      apcorr: ${folder}references/apcorr.fits"
            echo "      abvegaoffset: ${folder}references/abvegaoffset.asdf"
            if [ -d "${folder}crds" ]; then
                echo "      crds: {path: ${folder}crds, context: jwst_0001.pmap}"
            fi
        fi
    done
} > config.yaml

run=("$here/.venv/bin/snakemake" --snakefile "$here/Snakefile" --configfile config.yaml)
"${run[@]}" --cores "$cores"

echo
echo "All of this is below demo/; MIRI's exposures, calibrated by stage 2, in demo/results/exposures/."
echo "A page of each product: demo/results/<product>/plots/<product>_page.html"
echo "Change a parameter in demo/config.yaml and run again:"
echo "  cd demo && ../.venv/bin/snakemake -s ../Snakefile --configfile config.yaml --cores $cores"
