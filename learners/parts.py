"""What a lane is made of: its parts, how they are put together, and what a checkpoint keeps of them."""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol, Self

from river import base

from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import TrainedOn
from anabranch.scope import GLOBAL, Scope
from config.settings import Settings
from learners.arena import Arena
from learners.arena.constraints import HardConstraints
from learners.arena.lifecycle import Lifecycle
from learners.arena.members import Cause, Member, Timed
from learners.arena.rounds import Rounds
from learners.arena.shadows import Library, Shadows
from learners.arena.standing import StandingPlaces
from learners.arena.succession import Succession
from learners.blend_numbers import blend_of
from learners.derived import Seen, derived_of
from learners.emitted import Learned
from learners.labels import LabelJoin
from learners.labels.shelf import Shelf
from learners.labels.shelf import refers_to as segments_of
from learners.lateness import Lateness
from learners.models.tasks import Task
from learners.observed import Observed
from learners.publication import Published
from learners.quarantine import Quarantine
from learners.ranked import Ranked
from learners.reports import Reports
from learners.retraining.lineage import placeless
from learners.retraining.recruits import Recruits
from learners.scores import Scores, fits, metrics_of, wants_proba
from learners.segmented import opens as blobs_of_segments
from learners.segmented import segmented_of
from learners.watcher import Watcher


class Observer(Protocol):
    """Looks at each learned event, when everything about it is decided; it may look at all and change nothing."""

    def __call__(
        self, event: AcceptedEvent, served: Prediction, answers: Mapping[str, Prediction], lane: "LaneParts", /
    ) -> None:
        """Called with the event and its label.

        `served` is what the champion answered when the event came; `answers` are those of all members, by name.
        """


class Delayed(NamedTuple):
    """A labelled event that is learned later, its number, and who was asked."""

    event: AcceptedEvent
    event_number: int
    asked: tuple[str, ...]


class LaneParts:
    """What one model's lane is made of.

    Args:
        settings: of the model.
        champion: the first one, fresh or already trained.
        watch: the drift detectors on the champion's loss.
        trained_on: what it has learned before.
        scope: "global", or "p3" for the model of partition 3.
        observer: is shown each learned event.

    Raises:
        ConfigError: the champion does not fit the task, or a metric does not fit the champion.
    """

    asked: Callable[[AcceptedEvent, Prediction], None] | None = None
    """Is shown each event that is asked, and what the champion answered; it may change nothing."""

    def __init__(
        self,
        settings: Settings,
        champion: base.Estimator,
        *,
        watch: Watcher,
        trained_on: TrainedOn | None = None,
        scope: Scope = GLOBAL,
        observer: Observer | None = None,
    ) -> None:
        metrics = metrics_of(settings)
        self.settings = settings
        self.task = Task(settings, wants_proba=wants_proba(metrics) or watch.wants_proba)
        self.task.check(champion)
        fits(metrics, champion)
        self.scores = Scores(metrics, window=settings.scores.window)
        self.lifecycle = Lifecycle()
        self.constraints = HardConstraints(settings, task=self.task)
        self.shadows = Shadows(settings.arena, constraints=self.constraints, lifecycle=self.lifecycle)
        self.standing = StandingPlaces(settings, task=self.task)
        first = self._first(champion, trained_on or TrainedOn())
        library = Library(library_max=settings.retrain.library_max, trusted=settings.model.trusted)
        self.published = Published(settings, task=self.task, asks_always=observer is not None)
        self.succession = Succession(
            settings,
            first,
            shadows=self.shadows,
            library=library,
            lifecycle=self.lifecycle,
            published=self.published,
        )
        self.recruits = Recruits(
            settings, task=self.task, shadows=self.shadows, library=library, lifecycle=self.lifecycle
        )
        self.lateness = Lateness()
        self.blend = blend_of(settings, task=self.task, succession=self.succession, lateness=self.lateness)
        # The lane's own names for both: each event asks for them.
        self.lineage, self.jobs = self.recruits.lineage, self.recruits.jobs
        self.arena = Arena(self.shadows, self.standing, settings, task=self.task, voices=self.blend.voices)
        self.reports = Reports(settings.name, scope=scope, topic=settings.topics.name("events"))
        self.watch = watch
        self.observed = Observed(settings, task=self.task, scores=self.scores, watch=watch, published=self.published)
        self.observer = observer
        self.timed: Timed | None = None
        """Times what members do, while it is there."""
        self._watches_events = watch.sees_events
        self._begin_joining(scope)
        self._begin_blocks()
        self.canary: deque[dict[str, object]] = deque(maxlen=settings.publish.canary_rows)
        self.newest: AcceptedEvent | None = None
        self.events = 0
        self.unusable_band = 0
        self.notes: list[str] = []
        self._read_ahead(settings)

    def _begin_blocks(self) -> None:
        self.block: list[Delayed] = []
        """With `publish.blocks`: what is to be learned at the next announcement."""
        self.unlearnable: Collection[str] = ()
        """Ids of events in blocks that are left out, since the champion raises on them."""
        self.unlearned: list[AcceptedEvent] = []
        """Those that were; whoever reads them takes them away."""

    def _read_ahead(self, settings: Settings) -> None:
        # Read on every event, and reading a pydantic model costs more than an attribute.
        self._is_regression = self.task.kind == "regression"
        self._is_multiclass = self.task.kind == "multiclass"
        self._window, self._blocks = settings.scores.window, settings.publish.blocks
        self._report_events = settings.publish.report_events
        if settings.shadows.rhythm > 1:
            self.arena.rounds = Rounds(settings.shadows.rhythm)
        watched = settings.freeze.watches and self.task.kind != "rank"
        self.quarantine = Quarantine(settings.freeze, numeric=settings.numeric) if watched else None

    def _begin_joining(self, scope: Scope) -> None:
        labels = self.settings.labels
        self.join = LabelJoin(self.settings)
        self._is_clocked = labels.late or labels.horizon is not None
        self.examples = 0
        """How many have been told; where `labels.examples` are told, lineage counts in them."""
        self.to_tell: list[Learned] | None = [] if labels.tells_examples else None
        self._examples_on = scope.number or 0
        self.derived = derived_of(self.settings)
        """Features that are computed here; None where there are none."""
        self.ranked = (
            Ranked(self.settings, task=self.task, standing=self.standing) if self.task.kind == "rank" else None
        )
        """What is measured of rankers; None where nothing is ranked."""
        self.segmented = segmented_of(self.settings, task=self.task, asks_copies=self.observer is not None)
        """Per-segment models; None where there are none."""

    def _first(self, champion: base.Estimator, trained_on: TrainedOn) -> Member:
        place = self.standing.of_first
        self.lifecycle.move("first", "serving", reason="the first champion")
        first = Member(
            "first",
            champion,
            lifecycle=self.lifecycle,
            task=self.task,
            trained_on=trained_on,
            since=0,
            cause=Cause("first"),
            place=place,
        )
        if place:
            self.standing.hold(first)
        return first

    @property
    def champion(self) -> Member:
        """Who serves."""
        return self.succession.champion

    @property
    def version(self) -> int:
        """Of the last announcement."""
        return self.succession.version

    @version.setter
    def version(self, version: int) -> None:
        self.succession.version = version

    def seen_by(self, model: Any, kinds: Mapping[str, str]) -> Seen:
        """What a model sees, where events bring features of these kinds."""
        seen = Seen(kinds) if self.derived is None else self.derived.seen_by(model, kinds)
        dropped = self.settings.privacy.hidden  # followers that read events themselves drop them, too
        return seen._replace(hidden=tuple(sorted({*seen.hidden, *dropped}))) if dropped else seen

    # ── for checkpoints ─────────────────────────────────────────────────────────────────────────────────────────

    def learning_state(self) -> dict[str, Any]:
        """What the learning state hash is taken of: models, contests, detectors, scores; no places in the log."""
        learned = self._learned()
        if self.derived is None:
            del learned["derived"]  # where nothing is computed, the hash is what it was before there was this
        if self.ranked is None:
            del learned["ranked"]  # likewise
        if "rounds" in learned:
            learned["rounds"] = learned["rounds"]["played"]  # what waits to be played has places
        return placeless(learned)

    def _learned(self) -> dict[str, Any]:
        # First, as it waits for what is under way: members are then what they are after it.
        rounds = None if self.arena.rounds is None else self.arena.rounds.state()
        return {
            "events": self.events,
            "version": self.version,
            "champion": self.champion.state(),
            "shadows": [member.state() for member in self.shadows.members],
            "succession": self.succession.state(),
            "published": self.published.state(),
            "standing": self.standing.state(),
            "too_slow": dict(self.constraints.too_slow),
            "watch": self.watch.state(),
            "scores": self.scores.state(),
            "scale": self.task.scale.state(),
            "lateness": self.lateness.state(),
            "blend": self.blend.state(),
            "derived": None if self.derived is None else self.derived.state(),
            "ranked": None if self.ranked is None else self.ranked.state(),
            **({} if self.quarantine is None else {"quarantine": self.quarantine.state()}),
            **({} if self.segmented is None else {"segmented": self.segmented.learned_state()}),
            # Seldom: by lists that closed without a label, it is seen before the event that may change something.
            **({"ahead": True} if self.arena.ahead else {}),
            **({} if rounds is None else {"rounds": rounds}),
        }

    @property
    def blobs(self) -> dict[str, bytes | None]:
        """What the state refers to, by digest: what changes seldom is not written with each checkpoint.

        None stands for what is not held any more: an earlier checkpoint referred to it.
        """
        segmented = {} if self.segmented is None else self.segmented.blobs
        return {**self.published.blobs, **self.join.pending.blobs, **segmented}

    def put_away(self) -> None:
        """Before a checkpoint: what lies in memory beyond a bound becomes blobs that the state names."""
        self.join.pending.put_away()
        if self.segmented is not None:
            self.segmented.put_away()

    @property
    def shelves(self) -> list[Shelf]:
        """What those blobs lie on."""
        pending: Shelf = self.join.pending
        return [pending] if self.segmented is None else [pending, self.segmented.shelf]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the learning state and what is under way."""
        return {
            **self._learned(),
            "copy": self.published.reference(),
            "lifecycle": self.lifecycle.state(),
            "lineage": self.lineage.state(),
            "jobs": self.jobs.state(),
            "join": self.join.state(),
            "examples": self.examples,
            "block": [(event.kept(), number, asked) for event, number, asked in self.block],
            "canary": list(self.canary),
            "newest": None if self.newest is None else self.newest.kept(),
            "notes": list(self.notes),
            "labels": self.task.fence.state(),
            "unusable_band": self.unusable_band,
            "observed": self.observed.state(),
            **({} if self.ranked is None else {"listed": self.ranked.observed()}),
            **({} if self.segmented is None else {"segments": self.segmented.state()}),
        }

    @classmethod
    def restored(
        cls,
        settings: Settings,
        state: dict[str, Any],
        *,
        blobs: Mapping[str, Any],
        watch: Watcher,
        scope: Scope = GLOBAL,
        observer: Observer | None = None,
    ) -> Self:
        """The lane that `state` described, under the same settings.

        Args:
            blobs: what the state refers to: the bytes of those that `refers_to` names, and of those that `opens` names
                the bytes or a `Blob`.

        Raises:
            ConfigError: as for a new one, of the champion that it holds.
        """
        lane = cls(settings, state["champion"]["model"], watch=watch, scope=scope, observer=observer)
        lane._restore(state, blobs)
        return lane

    def _restore(self, state: dict[str, Any], blobs: Mapping[str, Any]) -> None:
        self.events = state["events"]
        self.lateness.restore(state["lateness"])
        self.blend.restore(state["blend"])
        self.published.restore(state["published"], state["copy"], blobs)
        self.lifecycle.restore(state["lifecycle"])
        self.succession.restore(state["succession"], champion=state["champion"], version=state["version"])
        self.shadows.restore(state["shadows"])
        self.standing.restore(state["standing"], [self.champion, *self.shadows.members])
        self.constraints.too_slow = dict(state["too_slow"])
        self.watch.restore(state["watch"])
        self.scores.restore(state["scores"])
        if self.ranked is not None and state.get("ranked") is not None:
            self.ranked.restore(state["ranked"])
            if "listed" in state:
                self.ranked.restore_observed(state["listed"])
        self.task.scale.restore(state["scale"])
        self.lineage.restore(state["lineage"])
        self.jobs.restore(state["jobs"])
        self.join.restore(state["join"], blobs)
        self.examples = state["examples"]
        self.block = [Delayed(AcceptedEvent(*event), number, tuple(asked)) for event, number, asked in state["block"]]
        self.canary.clear()
        self.canary.extend(state["canary"])
        self.newest = None if state["newest"] is None else AcceptedEvent(*state["newest"])
        self.notes = list(state["notes"])
        self.task.fence.restore(state["labels"])
        self.unusable_band = state["unusable_band"]
        self.observed.restore(state["observed"])
        if self.derived is not None:
            self.derived.restore(state["derived"])
        self.arena.ahead = state.get("ahead", False)
        if "rounds" in state:
            self._restore_rounds(state["rounds"])
        if self.quarantine is not None and "quarantine" in state:
            self.quarantine.restore(state["quarantine"])
        if self.segmented is not None and "segments" in state:
            self.segmented.restore(state["segmented"], state["segments"], blobs)

    def _restore_rounds(self, state: dict[str, Any]) -> None:
        """Go on with the rounds; with a `rhythm` of 1 now, what waits for the end of one is played and counted here."""
        rounds = self.arena.rounds or Rounds(1)
        rounds.restore(state)
        if self.arena.rounds is None:
            tends = self.standing.any and not self.succession.frozen
            self.arena.end_rounds(rounds, champion=self.champion, window=float(self._window), tends=tends)


def refers_to(state: Mapping[str, Any]) -> list[str]:
    """The digests of the blobs that a lane's state needs beside it."""
    return [state["copy"]["sha256"]] if state["copy"]["sha256"] else []


def opens(state: Mapping[str, Any]) -> list[str]:
    """The digests of the blobs of which it needs parts only."""
    return [*segments_of(state["join"]["pending"]), *blobs_of_segments(state.get("segments"))]
