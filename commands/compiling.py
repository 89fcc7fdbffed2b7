"""The path of an event, compiled by mypyc: a copy of the checkout in which these modules are machine code.

    python -m commands.compiling [--into FOLDER]      build/compiled, unless told otherwise

The same modules, the same answers and the same state hashes, at less time an event. Nothing is compiled in the checkout
itself: a module that has changed since would be hidden by what was made of it. Run the copy as the checkout is run:
`cd build/compiled && python -m commands.main learn …`.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPILED = ROOT / "build" / "compiled"

MODULES = (
    "anabranch/values.py",
    "consumers/audit.py",
    "consumers/guard/__init__.py",
    "consumers/guard/event_times.py",
    "consumers/guard/labels.py",
    "consumers/guard/reading.py",
    "consumers/intake.py",
    "consumers/order.py",
    "consumers/taking.py",
    "consumers/telling.py",
    "detectors/error_signals.py",
    "detectors/watch.py",
    "learners/arena/__init__.py",
    "learners/arena/evidence.py",
    "learners/arena/members.py",
    "learners/arena/off_policy.py",
    "learners/arena/rollout.py",
    "learners/arena/shadows.py",
    "learners/arena/succession.py",
    "learners/balance.py",
    "learners/blend.py",
    "learners/blend_numbers.py",
    "learners/labels/__init__.py",
    "learners/labels/pending.py",
    "learners/labels/recent_ids.py",
    "learners/labels/shelf.py",
    "learners/lane.py",
    "learners/lane_inputs.py",
    "learners/lateness.py",
    "learners/models/fence.py",
    "learners/models/fused.py",
    "learners/models/speedups.py",
    "learners/models/tasks.py",
    "learners/observed.py",
    "learners/parts.py",
    "learners/publication.py",
    "learners/rates.py",
    "learners/retraining/lineage.py",
    "learners/scores.py",
    "learners/time_windows.py",
)
"""What a plain event runs through. Models of ours stay as they are: a state tree reads the attributes of their objects
as it reads those of River's, and compiled classes hide them; and what lays out features, since in an estimator
their names need not be text."""
ROOMS = ("anabranch", "config", "detectors", "learners", "consumers", "evaluation", "serving", "operations", "commands")
_LEFT_BEHIND = (".*", "build", "dist", "__pycache__", "*.egg-info", "checkpoints", "node_modules")
_MYPY = """[mypy]
python_version = 3.11
strict = True
warn_unused_ignores = False
plugins = pydantic.mypy
# What is not compiled is checked elsewhere, with River's types.
follow_imports = silent
[mypy-river.*,scipy.*,numpy.*]
# Their types are not needed, and reading them takes minutes.
follow_imports = skip
[mypy-msgpack.*]
ignore_missing_imports = True
"""


def main(words: Sequence[str] | None = None) -> int:
    """Copy, compile, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=COMPILED, help="the folder of the copy; what is there goes")
    folder = parser.parse_args(words).into.resolve()
    _copy(folder)
    print(f"compiling {len(MODULES)} modules into {folder}: one or two minutes", flush=True)
    _compile(folder)
    print(f"compiled; run it there: cd {folder} && python -m commands.main --help")
    return 0


def is_current(folder: Path) -> bool:
    """Whether the folder holds a compiled copy of the rooms as they are now."""
    paths = [each.relative_to(ROOT) for room in ROOMS for each in (ROOT / room).rglob("*.py")]
    same = all(
        (folder / each).is_file() and (folder / each).read_bytes() == (ROOT / each).read_bytes() for each in paths
    )
    return same and any((folder / "learners").glob("lane.*.so"))


def _copy(folder: Path) -> None:
    if folder.exists() and not (folder / "commands" / "compiling.py").is_file():
        raise SystemExit(f"{folder} holds something else than a copy of this checkout: name another folder")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_BEHIND))


def _compile(folder: Path) -> None:
    # Only who compiles needs a compiler: mypy is of the extra [dev].
    from mypyc.build import mypycify
    from setuptools import Distribution

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    settings = folder / "build" / "mypy.ini"
    settings.parent.mkdir()
    settings.write_text(_MYPY)
    extensions = mypycify(["--config-file", str(settings), *MODULES], target_dir=str(settings.parent))
    # Not setup(): that would read pyproject.toml, which is about the wheel.
    distribution = Distribution({"name": "anabranch", "ext_modules": extensions})
    command = distribution.get_command_obj("build_ext")
    command.inplace = True
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    sys.exit(main())
