"""Parameters of steps as CRDS tunes them, from its ``pars-*`` files (ASDF).

Standard library only, and PyYAML: the workflow asks while it finds out what is to be made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from snakewebb.errors import InputError, reason
from snakewebb.references.crds import AbsentError, CrdsCache

IMAGING = ("assign_mtwcs", "tweakreg", "skymatch", "outlier_detection", "resample")
STEPS = {
    "image3": (*IMAGING, "source_catalog"),
    "coron3": ("outlier_detection", "stack_refs", "align_refs", "klip", "resample"),
}
"""Steps by pipeline that CRDS has parameters of."""


class Tuned(NamedTuple):
    """Parameters of CRDS for a product.

    Attributes
    ----------
    parameters : mapping
        By step, those that are tuned.
    files : dict of str to str
        Where they are from, by step: ``crds://<file>``.
    remarks : tuple of str
        What is wanting, a sentence each.
    """

    parameters: Mapping[str, Mapping[str, Any]]
    files: dict[str, str]
    remarks: tuple[str, ...] = ()


def tuned(header: Mapping[str, str], pipeline: str, crds: CrdsCache) -> Tuned:
    """Return the parameters of CRDS for an exposure, those of its pipeline before those of steps.

    Parameters
    ----------
    header : mapping
        The exposure's keywords.
    pipeline : {'image3', 'coron3'}
    crds : CrdsCache

    Raises
    ------
    InputError
        A file cannot be read.
    """
    parameters: dict[str, dict[str, Any]] = {}
    files: dict[str, str] = {}
    remarks = []
    kinds = {step: f"pars-{step.replace('_', '')}step" for step in STEPS[pipeline]}
    for step, reftype in {**kinds, "": f"pars-{pipeline}pipeline"}.items():
        try:
            path = crds.best(header, reftype)
        except AbsentError as error:
            if "lacks" in str(error):  # that there is none is usual, in old contexts
                remarks.append(f"{error}: its parameters are not tuned")
            continue
        if path is None:
            continue
        own, steps = read_parameters(path)
        for name, values in ({step: own} if step else steps).items():
            if name in STEPS[pipeline] and values:
                parameters.setdefault(name, {}).update(values)
                files[name] = ", ".join(filter(None, (files.get(name), f"crds://{path.name}")))
    return Tuned(parameters, files, tuple(remarks))


def read_parameters(path: str | Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return a file's parameters, and those of the steps of its pipeline by name.

    Raises
    ------
    InputError
        It cannot be read, or holds no parameters.
    """
    import yaml

    class Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Takes values of tags that it does not know as they are."""

    Plain.add_multi_constructor("", _untagged)
    try:
        tree = yaml.load(Path(path).read_bytes().partition(b"\n...")[0], Plain)
        own = _plain(tree.get("parameters") or {})
        steps = {
            str(step["name"]): _plain(step.get("parameters") or {})
            for step in tree.get("steps") or ()
        }
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}): fetch it again") from None
    except (yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError, RecursionError):
        raise InputError(f"{path}: holds no parameters of a step: fetch it again") from None
    return own, steps


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as a configuration has them; old files tell the class among them."""
    return {str(key): value for key, value in parameters.items() if key not in ("class", "name")}


def _untagged(loader: Any, tag: str, node: Any) -> Any:
    """Return the value of a node as if it had no tag."""
    construct = {
        "mapping": loader.construct_mapping,
        "sequence": loader.construct_sequence,
    }.get(node.id)
    return construct(node, deep=True) if construct else loader.construct_scalar(node)
