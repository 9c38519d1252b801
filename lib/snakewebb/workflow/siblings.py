"""Which exposures of a product tell the noise of another one's pixels.

Standard library only, as in `snakewebb.workflow.plan`.
"""

from __future__ import annotations

from collections.abc import Iterable

from snakewebb.workflow.plan import Plan


def siblings(plan: Plan, product: str, exposure: str) -> list[str]:
    """Return the calibrated files of the next and the previous exposure of the same detector.

    The end of a file's name tells the detector, in names as the archive gives them. Where no other
    one ends so, they are the next and the previous exposure, of which the job sees whether they are
    of the same pixels.

    Parameters
    ----------
    plan : Plan
    product, exposure : str

    Returns
    -------
    list of str
        One of two exposures, none of a single one or if outliers are not to be flagged.
    """
    members = plan.products[product].of_type("science")
    names = list(members)
    if len(names) < 2 or not plan.runs(product, "outlier_detection"):
        return []
    place = names.index(exposure)
    after = names[place + 1 :] + names[:place]
    _, mark, detector = exposure.rpartition("_")

    def first(others: Iterable[str], otherwise: str) -> str:
        return next((name for name in others if name.endswith(mark + detector)), otherwise)

    found = first(after, after[0]), first(reversed(after), after[-1])
    return [members[name].path for name in dict.fromkeys(found)]
