"""The user's configuration: checked against the schema, completed with its defaults.

Standard library and jsonschema only: every job of a workflow does this again when it parses the
Snakefile.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from snakewebb.errors import InputError

Schema = Mapping[str, Any]
SECTIONS = {
    "reference_files": "Reference files: `reference_files`",
    "image2": "Stage 2: `image2`",
    "steps": "Stage 3: `steps`",
}
"""Keys that hold keys of their own, and what their part of the reference page is called."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def complete(config: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return the configuration with all defaults filled in and keys sorted.

    Parameters
    ----------
    config : mapping
        As read from YAML.
    schema : mapping
        JSON Schema; each object names its ``properties``, each value has a ``default``. Besides,
        objects name what jwst has ``without`` a meaning here, and a number what it is ``below``.

    Raises
    ------
    InputError
        A key is unknown (the nearest known one is named) or a value not allowed.
    """
    for where, part in {"": config, **_products(config)}.items():
        _check_sections(part, schema, where)
    filled = _fill(dict(config), schema, "config")
    filled["products"] = {
        name: {
            **product,
            **{
                section: _fill(
                    merged(config.get(section) or {}, product.get(section) or {}),
                    schema["properties"][section],
                    f"products.{name}.{section}",
                    schema.get("without", ()),
                )
                for section in ("steps", "image2", "reference_files")
            },
        }
        for name, product in filled["products"].items()
    }
    return filled


def _products(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the parts of a configuration that are for one product, by the place they have."""
    products = config.get("products")
    entries = products.items() if isinstance(products, Mapping) else ()
    return {f"products.{name}.": entry for name, entry in entries if isinstance(entry, Mapping)}


def _check_sections(part: Mapping[str, Any], schema: Schema, where: str) -> None:
    """Raise where a step of stage 2 or 3 does not stand in the section that is its own."""
    sections = {name: schema["properties"].get(name, {}) for name in ("image2", "steps")}
    known = {name: sub.get("properties", {}).keys() for name, sub in sections.items()}
    parts = {where: part, **{f"{where}{name}.": part.get(name) for name in sections}}
    for place, given in parts.items():
        own = known.get(place.removeprefix(where).rstrip("."), schema["properties"].keys())
        for key in given if isinstance(given, Mapping) else ():
            homes = [f"{where}{name}.{key}" for name, keys in known.items() if key in keys]
            if key not in own and homes:
                raise InputError(
                    f"{place}{key}: stands in the wrong place: write {' or '.join(homes)}"
                )


def _fill(value: Any, schema: Schema, where: str, without: Sequence[str] = ()) -> Any:
    properties = schema.get("properties")
    if properties is None:
        return _checked(value, schema, where)
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must hold keys and values, not {value!r}: see config/README.md")
    inside = "" if where == "config" else f"{where}."
    without = [*without, *schema.get("without", ())]
    for key in value:
        if key not in properties:
            raise InputError(f"{inside}{key!s:.80}: {_unknown(str(key), properties, without)}")
    filled = {
        key: _fill(value.get(key, sub.get("default")), sub, f"{inside}{key}", without)
        for key, sub in sorted(properties.items())
    }
    for key, sub in properties.items():
        low, high = filled[key], filled.get(sub.get("below"))
        if None not in (low, high) and low >= high:
            raise InputError(
                f"{inside}{key}: {low} is not below {sub['below']} ({high}): change one of them"
            )
    return filled


def _checked(value: Any, schema: Schema, where: str) -> Any:
    item = schema.get("additionalProperties")
    if isinstance(item, Mapping) and isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{where}: the name {key!r} is no text: write it in quotes")
        return {key: _fill(value[key], item, f"{where}.{key}") for key in sorted(value)}
    value = _meant(value, schema)
    what = schema.get("description") or "see config/README.md"
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, float) and not math.isfinite(item):
            raise InputError(f"{where}: {item} is no number: {what}")
        if isinstance(item, str) and not item.isprintable():
            raise InputError(f"{where}: {item!r:.60} is not one line of text: {what}")
    error = next(Draft202012Validator(schema).iter_errors(value), None)
    if error is not None:
        raise InputError(f"{where}: {wanted(schema)}, not {value!r:.80}: {what}")
    return _canonical(value, schema)


def _meant(value: Any, schema: Schema) -> Any:
    """Return what a value stands for on jwst's pages, or in YAML 1.2 where 1.1 reads text."""
    if isinstance(value, list):
        return [_meant(item, schema.get("items", {})) for item in value]
    kinds, choices = schema.get("type", ()), schema.get("enum", ())
    if isinstance(value, float) and math.isnan(value) and "nan" in schema.get("pattern", ""):
        return "NAN"
    if not isinstance(value, str) or value in choices:
        return value
    # Of --config everything but numbers and True is text to Snakemake.
    if "boolean" in kinds and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if value.lower() in ("none", "null"):
        if "null" in kinds or None in choices:
            return None
        return "" if schema.get("default") == "" else value
    if "string" not in kinds and _NUMBER.fullmatch(value):
        number = float(value)
        if "number" in kinds or ("integer" in kinds and number.is_integer()):
            return number
    return value


def wanted(schema: Schema) -> str:
    """Return in words which values a parameter may have, as *a number above 0, up to 1000*."""
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    if "words" in schema:
        words = [schema["words"]]
    elif "enum" in schema:
        words = [str(value) for value in schema["enum"] if value is not None]
        kinds = ["null"] if None in schema["enum"] else []
    else:
        words = [_kind_in_words(kind, schema) for kind in kinds if kind != "null"]
    words += ["none"] if "null" in kinds else []
    return ", ".join(words[:-1]) + " or " * (len(words) > 1) + words[-1]


def _kind_in_words(kind: str, schema: Schema) -> str:
    nouns = {"boolean": "true or false", "object": "keys and values", "string": "a text"}
    nouns |= {"integer": "a whole number", "number": "a number"}
    if kind != "array":
        return nouns[kind] + (_bounds(schema) if kind in ("integer", "number") else "")
    items = schema["items"]
    counts = dict.fromkeys(str(schema[key]) for key in ("minItems", "maxItems") if key in schema)
    count = f"{' or '.join(counts)} " if "maxItems" in schema else ""
    limits = [_bounds(item) for item in schema.get("prefixItems", [items])]
    once = ", each once" if schema.get("uniqueItems") else ""
    if "minItems" in schema and not count:
        once = f", at least {schema['minItems']}{once}"
    return f"a list of {count}{nouns[items['type']][2:]}s{' and'.join(limits)}{once}"


def _bounds(schema: Schema) -> str:
    """Return the limits of a number in words."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        limit = "" if high is None else f", up to {high}"
        return f" above {schema['exclusiveMinimum']}{limit}"
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return f" of at least {low}" if low is not None else ""


def _canonical(value: Any, schema: Schema) -> Any:
    """Return a number in the one type its schema has, so that 3 and 3.0 are no change."""
    if isinstance(value, list):
        return [_canonical(item, schema.get("items", {})) for item in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    kinds = schema.get("type", ())
    if "number" in kinds:
        return float(value)
    return int(value) if "integer" in kinds else value


def _unknown(key: str, known: Iterable[str], without: Sequence[str]) -> str:
    if key in without or key.startswith("override_"):
        given = key.startswith(("override_", "user_supplied_"))
        files = "; reference_files names files" if given else ""
        return f"is a parameter of jwst that has no meaning here: leave it out{files}"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"unknown key: {hint}"


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return base with over laid upon it, object by object."""
    found = dict(base)
    for key, value in over.items():
        below = found.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        found[key] = merged(below, value) if both else value
    return found


def complete_steps(steps: Mapping[str, Any], schema: Schema, where: str) -> dict[str, Any]:
    """Return a section ``steps`` with all defaults filled in; see `complete`."""
    return _fill(steps, schema["properties"]["steps"], where, schema.get("without", ()))


def options(steps: Mapping[str, Any], schema: Schema, step: str, rule: str) -> dict[str, Any]:
    """Return the parameters of a step that a rule of the workflow uses, keys sorted.

    Of a step that is skipped that alone, so that a change of the others makes nothing again.

    Parameters
    ----------
    steps : mapping
        Completed section ``steps``.
    schema : mapping
        The schema, whose parameters each name their ``rules``.
    step, rule : str
        Such as ``outlier_detection`` and ``median``.
    """
    own = used(steps[step], schema["properties"]["steps"]["properties"][step], rule)
    return {"skip": True} if own.get("skip") else own


def used(parameters: Mapping[str, Any], schema: Schema, rule: str) -> dict[str, Any]:
    """Return those of a step's completed parameters that a rule uses, keys sorted.

    Not those of star finders (the schema's ``finders``) that are not the chosen one.
    """
    known, finder = schema["properties"], parameters.get("starfinder")
    return {
        name: parameters[name]
        for name in sorted(known)
        if rule in known[name].get("rules", ())
        and ("finders" not in known[name] or finder in known[name]["finders"])
    }


def reference(schema: Schema) -> str:
    """Return the reference page of all keys, in Markdown."""
    lines = [schema["description"].strip(), ""]
    top = {key: sub for key, sub in schema["properties"].items() if key not in SECTIONS}
    lines += ["## Keys of config.yaml", "", *_table(top)]
    lines += ["", *_without(schema, "Parameters of every step of jwst")]
    for section, title in SECTIONS.items():
        lines += ["", f"## {title}", "", schema["properties"][section]["description"].strip()]
        lines += _section(schema["properties"][section]["properties"])
    return "\n".join(lines) + "\n"


def _section(properties: Mapping[str, Schema]) -> list[str]:
    """Return the lines of a section: its own keys, then those of its steps."""
    own = {key: sub for key, sub in properties.items() if "properties" not in sub}
    lines = ["", *_table(own)] if own else []
    for name, step in properties.items():
        if name not in own:
            lines += ["", f"### {name}", "", step["description"].strip()]
            lines += ["", *_table(step["properties"])]
            lines += ["", *_without(step, "Parameters of jwst")] if step.get("without") else []
    return lines


def _without(schema: Schema, what: str) -> list[str]:
    names = ", ".join(f"`{key}`" for key in schema["without"])
    return [f"{what} with no meaning here: {names}."]


def _table(properties: Mapping[str, Schema]) -> list[str]:
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key, sub in properties.items():
        default = sub.get("default")
        shown = "" if default is None or isinstance(default, dict | list) else f"`{default}`"
        rows.append(
            f"| `{key}` | {_values(sub)} | {shown} | {' '.join(sub['description'].split())} |"
        )
    return rows


def _values(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join("none" if value is None else str(value) for value in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    text = " or ".join("none" if kind == "null" else kind for kind in kinds)
    bounds = [
        f"{sign} {schema[word]}"
        for word, sign in (
            ("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")
        )
        if word in schema
    ]  # fmt: skip
    if "below" in schema:
        bounds.append(f"< `{schema['below']}`")
    return ", ".join([text, *bounds])


if __name__ == "__main__":
    import sys

    import yaml

    with open(sys.argv[1]) as file:
        sys.stdout.write(reference(yaml.safe_load(file)))
