"""The code of docs/reuse.md does what the page says."""

import re
import subprocess
import sys

import numpy as np
import yaml

from workflow import REPO

PAGE = (REPO / "docs" / "reuse.md").read_text()
WORKFLOW, MOSAIC, SKY = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(CONFIG,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_another_workflow_imports_this_one(tmp_path, observations):
    file = min(observations["moving"].parent.glob("*_cal.fits"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file.name).symlink_to(file)
    (tmp_path / "Snakefile").write_text(WORKFLOW.replace("path/to/snakewebb", str(REPO)))
    (tmp_path / "config.yaml").write_text(CONFIG)
    # One exposure and nothing to align it with: the shortest way to a catalogue.
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "brightest"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert (tmp_path / "brightest.txt").read_text().count("\n") == 11
    name = yaml.safe_load(CONFIG)["name"]
    assert (tmp_path / "stage3" / name / f"{name}_cat.ecsv").is_file()
    assert (tmp_path / "logs" / "stage3" / name / "i2d.log").is_file()
    assert not (tmp_path / "results").exists()


def test_the_library_in_a_notebook(observations, names):
    files = sorted(observations["field"].parent.glob("*_cal.fits"))[:2]
    code = MOSAIC.replace("data/first_cal.fits", str(files[0]))
    space = {}
    exec(code.replace("data/second_cal.fits", str(files[1])), space)
    mosaic = space["mosaic"]
    assert mosaic.sci.shape == space["grid"].shape
    assert mosaic.con.max() == 0b11
    assert np.isfinite(mosaic.sci).mean() > 0.5
    exec(SKY, space)
    planes = space["planes"]["SCI"]
    assert space["level"] == np.float64(space["level"])
    assert abs(space["level"] - np.nanmedian(planes)) < 0.05 * np.nanmedian(planes)
    assert space["pixels"] > 0.5 * planes.size
