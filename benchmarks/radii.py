"""What an edit of a module of the library makes again: python benchmarks/radii.py.

For each module the scripts whose jobs run again, most first; then for each script how many lines
of the library it depends on.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print both tables."""
    from snakewebb.workflow.digest import needed

    library = ROOT / "lib"
    needs = {path.stem: needed(path, library) for path in sorted((ROOT / "scripts").glob("*.py"))}
    modules = {file for files in needs.values() for file in files if file.is_relative_to(library)}
    radii = {file: [name for name, files in needs.items() if file in files] for file in modules}
    print(f"{'module':44} scripts of {len(needs)}")
    for file, names in sorted(radii.items(), key=lambda item: (-len(item[1]), item[0])):
        module = ".".join(file.relative_to(library / "snakewebb").with_suffix("").parts)
        print(f"{module:44} {len(names):3}  {' '.join(names) if len(names) < 6 else ''}")
    print(f"average {sum(map(len, radii.values())) / len(radii):.1f}\n")
    print(f"{'script':20} modules  lines")
    for name, files in needs.items():
        own = [file for file in files if file.is_relative_to(library)]
        lines = sum(len(file.read_text().splitlines()) for file in own)
        print(f"{name:20} {len(own):7} {lines:6}")


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(ROOT / "lib"))
    main()
