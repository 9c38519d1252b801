"""What a run says: how far it is, where things are, what a change would make again."""

import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from snakewebb.workflow import changes, ending, progress, targets
from snakewebb.workflow.logs import GOES_ON, current_words
from snakewebb.workflow.plan import read_plan
from snakewebb.workflow.progress import Progress, Task, cut
from workflow import REPO, snakemake

PROFILE = "Using workflow specific profile"


@pytest.fixture(scope="module")
def schema():
    return yaml.safe_load((REPO / "config" / "schema.yaml").read_text())


@pytest.fixture(scope="module")
def first(tmp_path_factory, observations):
    """A folder with what a first run made of four exposures, the configuration, what it said."""
    folder = tmp_path_factory.mktemp("console")
    config = {"associations": [str(observations["field"])]}
    return folder, config, snakemake(folder, **config)


def said(done):
    lines = (done.stdout + done.stderr).splitlines()
    assert max(len(line) for line in lines if not line.startswith(PROFILE)) <= 100
    return lines


def test_a_run_is_told_in_few_lines_and_where_its_products_are(first, names):
    folder, _, done = first
    lines = said(done)
    assert len(lines) <= 25
    assert any(" of 20 jobs, 0:0" in line for line in lines)
    name = names["field"].name
    assert any(line.startswith(f"  results/{name}/: ") for line in lines)
    assert lines[-2] == "  report.html: all pictures; open it in a browser"
    assert lines[-1].startswith("Next: ")
    assert f"{name}_mosaic.png" in (folder / "report.html").read_text()
    (log,) = folder.glob(".snakemake/log/*.log")
    assert "Finished jobid" in log.read_text()


def test_what_is_done_without_a_reference_file_is_told_once(first):
    (line,) = [line for line in said(first[2]) if "no Vega magnitudes" in line]
    assert line.startswith("REFERENCE ")


def test_a_dry_run_says_what_a_change_makes_again(first, names):
    folder, config, _ = first
    steps = {"outlier_detection": {"snr": "4.0 3.0"}}
    lines = said(snakemake(folder, "-n", steps=steps, **config))
    assert len(lines) <= 8
    text = " ".join(line.strip() for line in lines)
    assert (
        f"{names['field'].name}: outlier_detection.snr 5.0 4.0 → 4.0 3.0: crf ×4, i2d, so" in text
    )
    assert " 12 jobs of 20, about 0:" in text
    lines = said(snakemake(folder, "-n", **config))
    assert "Nothing to be done: all that was asked for is made, and up to date" in lines


def test_a_parameter_of_a_skipped_step_makes_nothing_again(tmp_path, monkeypatch):
    (tmp_path / "a_cal.fits").touch()
    config = {"associations": ["a_cal.fits"]}
    schema = yaml.safe_load((REPO / "config" / "schema.yaml").read_text())
    step = {"skip": True, "snr_threshold": 5, "searchrad": 3}
    monkeypatch.chdir(tmp_path)
    for rule in ("find_sources", "align"):
        plan = read_plan({**config, "steps": {"tweakreg": step}}, schema)
        assert plan.options("a", "tweakreg", rule) == {"skip": True}
        assert len(read_plan(config, schema).options("a", "tweakreg", rule)) > 9


def test_names_are_targets(first, names):
    folder, config, _ = first
    own = names["field"]
    exposure = own.members[0].exposure
    steps = {"outlier_detection": {"snr": "4.0 3.0"}}
    for name, jobs in ((own.name, 12), (exposure, 1), ("_crf", 4), ("_cat", 6)):
        lines = said(snakemake(folder, "-n", name, steps=steps, **config))
        assert any(line.strip().startswith(f"{jobs} job") for line in lines), name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_i2dd", "_i2dd: nothing is called so, and no rule makes such a file: did you mean _i2d?"),
        ("xyz", "xyz: nothing is called so, and no rule makes such a file: ask for a product, f"),
        ("crf", "that is the name of a rule, of many files: ask for a suffix, as _i2d, or a produ"),
    ],
)
def test_an_unknown_name_ends_in_one_line(first, name, words):
    folder, config, _ = first
    done = snakemake(folder, "-n", name, check=False, **config)
    assert done.returncode == 1
    lines = (done.stdout + done.stderr).splitlines()
    (line,) = [line for line in lines if not line.startswith(PROFILE)]
    assert line.startswith(f"snakewebb: {words}")


def test_in_a_terminal_one_line_is_written_anew(first):
    folder, config, _ = first
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile"), "--cores"),
        *("2", "--configfile", "config.yaml", "--directory", str(folder)),
        *("_mosaic", "--forcerun", "plot_mosaic"),
    ]
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "60", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment, cwd=folder):
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:
            pass  # the end, on Linux
    os.close(ours)
    text = b"".join(parts).decode()
    states = [s for s in text.replace("\n", "\r\x1b[K").split("\r\x1b[K") if " jobs, 0:" in s]
    assert states
    assert max(map(len, states)) < 60
    assert "\nDone: " in text or "\x1b[KDone: " in text


def test_other_output_is_snakemakes_own(first):
    folder, config, _ = first
    assert "Reason: " in snakemake(folder, "-n", "-p", "-F", **config).stdout
    assert "Done" not in snakemake(folder, "--quiet", **config).stderr


# --- the pieces -----------------------------------------------------------------------------------


def test_expected_time_is_measured():
    tasks = {n: Task("crf") for n in range(4)} | {4: Task("i2d", seconds=20.0)}
    run = Progress(tasks, begin=100.0)
    run.start(0, 100.0)
    assert run.remaining(101.0) is None
    run.finish(0, 105.0)
    run.start(1, 105.0)
    # 3 of crf, of 5 seconds each, and 20 seconds of i2d.
    assert run.remaining(105.0) == pytest.approx(35.0)
    assert run.words(105.0) == "1 of 5 jobs, 0:05, about 0:35 to go: crf"
    run.fail(1)
    assert not run.running
    run.start(7, 106.0)
    assert not run.running, "a job that is none: all"


def test_a_rule_that_was_never_done_is_weighed_by_those_that_were(monkeypatch):
    monkeypatch.setattr(progress, "WEIGHTS", {"crf": 2.0, "i2d": 10.0})
    tasks = {0: Task("crf", seconds=4.0), 1: Task("i2d"), 2: Task("crf")}
    assert progress.expectations(tasks) == {0: 4.0, 1: 20.0, 2: 4.0}
    assert progress.expectations(tasks, {0: 1.0}) == {0: 1.0, 1: 5.0, 2: 1.0}


def test_words_for_times_and_jobs():
    assert [progress.clock(s) for s in (0.4, 65, 7265)] == ["0:00", "1:05", "2:01:05"]
    rules = ["crf", "i2d", "crf", "plot_sky", "plot_mosaic"]
    assert progress.many(rules) == "crf ×2, i2d, pictures ×2"


def test_changes_of_parameters(schema):
    def name(path):
        return changes.full_name(path, "i2d", schema)

    old = ["{'drizzle': {'kernel': 'square', 'pixfrac': 1.0}, 'grid': {'crpix': None}}", "'x'"]
    new = ["{'drizzle': {'kernel': 'square', 'pixfrac': 0.5}, 'grid': {'crpix': [1.0, 2.0]}}"]
    assert changes.changes_of(old, new, name) == [
        "resample.pixfrac 1.0 → 0.5",
        "resample.crpix none → [1.0, 2.0]",
    ]
    code = ["'i2d.py and what it imports: 1'"], ["'i2d.py and what it imports: 2'"]
    assert changes.changes_of(*code, name) == ["the code has changed"]
    assert changes.changes_of(["True"], [], name) == ["other parameters"]


@pytest.mark.parametrize(
    ("path", "rule", "name"),
    [
        ("snr_threshold", "find_sources", "tweakreg.snr_threshold"),
        ("outlier_detection.snr", "crf", "outlier_detection.snr"),
        ("median.pixfrac", "crf", "outlier_detection.pixfrac"),
        ("tweakreg.searchrad", "align", "tweakreg.searchrad"),
        ("thresholds.max_pull", "quality", "quality.max_pull"),
        ("sigma", "background", "bkg_subtract.sigma"),
        ("asn.asn_id", "crf", "asn.asn_id"),
        ("npixels", "field_detection", "source_catalog.npixels"),
    ],
)
def test_a_parameter_has_the_name_of_its_step(schema, path, rule, name):
    assert changes.full_name(path, rule, schema) == name


def test_what_does_not_fit_in_a_line_ends_in_an_ellipsis():
    assert cut("one two", 7) == "one two"
    assert cut("one two three", 7) == "one tw…"


def test_a_job_is_of_a_product_or_a_field_or_of_all():
    kinds = ({"product": "x"}, {"field": "x"}, {})
    jobs = [SimpleNamespace(wildcards=SimpleNamespace(**kind)) for kind in kinds]
    assert [changes.owner(job) for job in jobs] == ["x", "field x", ""]


def test_names_stand_for_files(tmp_path, monkeypatch, schema):
    monkeypatch.chdir(tmp_path)
    for name in ("a_cal.fits", "a1_cal.fits"):
        (tmp_path / name).touch()
    found = targets.named_targets(read_plan({"products": {"x": {"science": "a*.fits"}}}, schema))
    assert {"x", "a", "a1", "_i2d", "_crf", "_cat"} <= found.keys()
    assert "<results>/x/a1_a3001_crf.fits" in found["a1"]
    assert "<results>/x/a1_a3001_crf.fits" not in found["a"]
    assert found["_i2d"] == ["<results>/x/x_i2d.fits"]
    of_fields = [f"<results>/fields/{end}" for end in ("a_f.json", "a_f/a_f_cat.ecsv")]
    found = targets.named_targets(read_plan({}, schema), of_fields)
    assert found == {"a_f": of_fields, "_cat": of_fields[1:]}
    assert targets.explain("Cancelling snakemake on user request.", [], []) == GOES_ON
    assert targets.explain("anything else", [], []) is None


def test_warnings_in_logs_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = "2026-01-01 00:00:00,0 INFO root: process 1\n2026-01-01 00:00:00,0 {}: {}\n"
    for number in range(9):
        log = tmp_path / "logs" / "x" / "crf" / f"e{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(2 * lines.format("WARNING snakewebb.jobs.crf", f"e{number}: is strange"))
    (tmp_path / "logs" / "x" / "i2d.log").write_text(lines.format("INFO snakewebb.a", "works"))
    logs = [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.log"))]
    outcomes = [f"FAILED x step: reason {number}" for number in range(8)]
    assert ending.told(outcomes, [*logs, "logs/x/lost.log"]) == [
        *outcomes[:6],
        "and 2 more: see the products' pages",
        "WARN 9 warnings in logs: grep WARNING -r logs",
    ]
    assert ending.told([], logs[-1:]) == []
    assert current_words("logs/x/i2d.log") == ", works"
    assert current_words("logs/x/lost.log") == ""
