"""A log in memory, a frozen clock, and faults to order: drive a loop, or your own configuration, without a broker.

The log has groups with fencing, gaps and retention; it does what a broker promises, at once. The faulty ports do what
a broker and a disk do on a bad day, at moments that a `Schedule` draws from one seed. `anabranch simulate` is built on
them.
"""

from evaluation.simulation.world.faulty_log import FaultySink, FaultySource
from evaluation.simulation.world.faulty_stores import Bucket, Disk, FaultyBlobs, FaultyFiles, FaultyObjects, FileDisk
from evaluation.simulation.world.memory_log import (
    FrozenClock,
    MemoryControl,
    MemoryFetch,
    MemoryLog,
    MemorySink,
    MemorySource,
)
from evaluation.simulation.world.processes import Crash, Dying, Process, Schedule, Step

__all__ = [
    "Bucket",
    "Crash",
    "Disk",
    "Dying",
    "FaultyBlobs",
    "FaultyFiles",
    "FaultyObjects",
    "FaultySink",
    "FaultySource",
    "FileDisk",
    "FrozenClock",
    "MemoryControl",
    "MemoryFetch",
    "MemoryLog",
    "MemorySink",
    "MemorySource",
    "Process",
    "Schedule",
    "Step",
]
