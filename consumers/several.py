"""Runs the loops of several models in one process: each in a thread of its own, supervised by itself.

What ends one model ends that one: it is run again from its last checkpoint, after a pause, as a supervisor outside
would run its process again. Only who has lost the ownership is not: two would take the model from each other for ever.
"""

import threading
from collections.abc import Mapping

import structlog

from anabranch.errors import AnabranchError, OwnershipLost
from consumers.loop import LearningLoop
from consumers.supervisor import Make, begin, run_on

log = structlog.get_logger()

RESTART_S, RESTART_MAX_S = 5.0, 300.0
"""Before a model that has ended is run again: at first, and at most."""
LOOK_S = 0.2
"""How often the process sees whether its models run."""


class Kept(threading.Thread):
    """One model, run again and again.

    Args:
        make: makes its loops; raises what keeps it from being run.
        stopping: set when the process is to end.
        until_end: then what ends it early is its end.
    """

    def __init__(self, name: str, make: Make, *, stopping: threading.Event, until_end: bool) -> None:
        super().__init__(name=f"learn-{name}")
        self.model = name
        self.make, self.stopping, self.until_end = make, stopping, until_end
        self.loop: LearningLoop | None = None
        """The newest one."""
        self.error: Exception | None = None
        """What it has ended with, until it runs again."""
        self.has_run = False
        """Whether it has ever had its partitions and its state."""

    def run(self) -> None:
        """Until the process is to end, or its end is reached."""
        pause_s = RESTART_S
        while True:
            try:
                run_on(self._made, self._made(self.stopping, None), stopping=self.stopping, until_end=self.until_end)
                return
            except BrokenPipeError:  # nobody reads what is printed any more: nothing is wrong, and all end
                self.stopping.set()
                return
            except Exception as error:  # whatever it is, the others go on
                pause_s = RESTART_S if self._ran_well() else min(2 * pause_s, RESTART_MAX_S)
                self.error = error
            if self._ends(pause_s) or self.stopping.wait(pause_s):
                return

    def _made(self, stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
        self.loop = self.make(stopping, before)
        self.error = None
        return self.loop

    def _ran_well(self) -> bool:
        loop = self.loop
        self.has_run |= loop is not None and loop.has_run
        return self.error is None and loop is not None and loop.was_well

    def _ends(self, pause_s: float) -> bool:
        """Say what has happened; whether it is over."""
        is_over = self.until_end or self.stopping.is_set() or isinstance(self.error, OwnershipLost)
        goes_on = {} if is_over else {"again_in_s": round(pause_s)}
        log.error(
            "model ended",
            model=self.model,
            reason=str(self.error) or type(self.error).__name__,
            # What nobody has foreseen is told with its place.
            exc_info=None if isinstance(self.error, AnabranchError) else self.error,
            **goes_on,
        )
        return is_over


def supervise_all(makes: Mapping[str, Make], *, until_end: bool) -> dict[str, LearningLoop]:
    """Run the loops of all models until a signal, or with `until_end` until each has come to its end.

    Args:
        makes: as for `supervise`, by the model's name.

    Returns:
        The last loop of each.

    Raises:
        Exception: none of them could be run, the process has lost all of them, or with `until_end` one was ended
            before: the first one's error. Those of the others are in the log.
    """
    stopping = threading.Event()
    kept = [Kept(name, make, stopping=stopping, until_end=until_end) for name, make in makes.items()]
    begin(stopping)
    for each in kept:
        each.start()
    while alive := [each for each in kept if each.is_alive()]:
        if all(each.error is not None and not each.has_run for each in kept):
            stopping.set()  # with one model, too, a process that has never run ends at once
        alive[0].join(LOOK_S)
    return _came_to(kept, until_end=until_end)


def _came_to(kept: list[Kept], *, until_end: bool) -> dict[str, LearningLoop]:
    failed = [each for each in kept if each.error is not None]
    lost = [each for each in failed if isinstance(each.error, OwnershipLost)]
    # Who has lost one of its models and is stopped ends well: that model is well, elsewhere.
    for each in failed if until_end or len(lost) == len(kept) else [each for each in failed if each not in lost]:
        assert each.error is not None
        raise each.error
    return {each.model: each.loop for each in kept if each.loop is not None and each.error is None}
