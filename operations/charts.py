"""Gets what draws the dashboard's charts: two files of uPlot (MIT), checked against their digests.

python -m operations.charts
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "uplot@1.6.32"
VENDOR = Path(__file__).parent / "web" / "vendor"
DIGESTS = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""SHA-256 of each file."""


def main() -> int:
    """Fetch them with npm, unless they are there."""
    if is_there():
        return 0
    if shutil.which("npm") is None:
        print("npm is missing (Debian: npm): the dashboard shows tables in place of charts", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", PACKAGE, "--ignore-scripts", "--silent", "--pack-destination", folder]
        done = subprocess.run(
            command, check=False, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            print(f"npm did not get {PACKAGE}: {done.stderr.strip()[-500:]}", file=sys.stderr)
            return 1
        return _unpack(packed)


def is_there() -> bool:
    """Whether both files are there, as they should be."""
    return all(_is_whole(VENDOR / name, digest) for name, digest in DIGESTS.items())


def _unpack(packed: Path) -> int:
    VENDOR.mkdir(parents=True, exist_ok=True)
    with tarfile.open(packed) as archive:
        for name, digest in DIGESTS.items():
            member = archive.extractfile(f"package/dist/{name}")
            data = b"" if member is None else member.read()
            if hashlib.sha256(data).hexdigest() != digest:
                print(f"{name} of {PACKAGE} is not the file it should be: nothing was written", file=sys.stderr)
                return 1
            (VENDOR / name).write_bytes(data)
    return 0


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


if __name__ == "__main__":
    sys.exit(main())
