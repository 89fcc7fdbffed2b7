"""The checkout: where its files lie."""

import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def example(name: str) -> Any:
    """The script of an example, as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"{name}_example", ROOT / "examples" / name / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
