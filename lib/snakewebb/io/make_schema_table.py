"""The metadata that JWST's schema has FITS keywords for, as `schema_table`.

``python -m snakewebb.io.make_schema_table > lib/snakewebb/io/schema_table.py`` reads the schema
that comes with stdatamodels, which takes a second to import and to go through; jobs import the
text.
"""

from __future__ import annotations

from stdatamodels.jwst.datamodels import ImageModel
from stdatamodels.schema import walk_schema

MODULE = '''\
"""JWST's image metadata that have FITS keywords, in the schema's order.

Made by `python -m snakewebb.io.make_schema_table`: change nothing here.
"""

SECTIONS = """
{sections}
"""
"""What headers call the parts of ``meta``."""

TABLE = """
{table}
"""
"""Name below ``meta``, extension, keyword, type, how values are blended, whether HDRTAB has a
column (or a dash), comment."""
'''


def module() -> str:
    """Return the text of `snakewebb.io.schema_table`."""
    sections, rows = [], []

    def visit(node, path, *_):
        if path[:1] != ["meta"]:
            return
        name, title = ".".join(path[1:]), node.get("title", "")
        if "fits_keyword" in node:
            # Unless the schema says otherwise; it does not for the steps' statuses.
            rule = "status" if path[1] == "cal_step" else node.get("blend_rule", "first")
            hdu, kind = node.get("fits_hdu", "PRIMARY"), node["type"]
            tabled = "tabled" if node.get("blend_table") else "-"
            rows.append(f"{name} {hdu} {node['fits_keyword']} {kind} {rule} {tabled} {title}")
        elif len(path) == 2 and title and "properties" in node:
            sections.append(f"{name} {title}")

    walk_schema(ImageModel().schema, visit)
    return MODULE.format(sections="\n".join(sections), table="\n".join(rows))


if __name__ == "__main__":
    print(module(), end="")
