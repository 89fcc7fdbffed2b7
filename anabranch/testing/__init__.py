"""A log in memory, a frozen clock, and faults to order: drive a loop, or your own configuration, without a broker.

The log has groups with fencing, gaps and retention; it does what a broker promises, at once. The faulty ports do what
a broker and a disk do on a bad day, at moments that a `Schedule` draws from one seed. `anabranch simulate` is built on
them.
"""

from anabranch.testing.clock import FrozenClock
from anabranch.testing.dying import Dying
from anabranch.testing.faulty_files import FaultyFiles, FileDisk
from anabranch.testing.faulty_log import FaultyOutlet, FaultySource
from anabranch.testing.faulty_objects import Bucket, FaultyObjects
from anabranch.testing.faulty_store import Disk, FaultyStore
from anabranch.testing.memory_log import MemoryControl, MemoryLog, MemoryOutlet, MemorySource
from anabranch.testing.processes import Crash, Process
from anabranch.testing.schedule import Schedule, Step

__all__ = [
    "Bucket",
    "Crash",
    "Disk",
    "Dying",
    "FaultyFiles",
    "FaultyObjects",
    "FaultyOutlet",
    "FaultySource",
    "FaultyStore",
    "FileDisk",
    "FrozenClock",
    "MemoryControl",
    "MemoryLog",
    "MemoryOutlet",
    "MemorySource",
    "Process",
    "Schedule",
    "Step",
]
