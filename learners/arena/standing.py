"""Standing shadows: places that are always filled, with models of your own or a portfolio's.

Eight for labels: a linear model by AdaGrad and at two learning rates, naive Bayes, two trees, and an eager tree and
naive Bayes that restart on their own alarm. No family is the best on every stream, and no learning rate either.

>>> [each.name for each in members("cheap", task="binary", words=False)]
['linear-adagrad', 'linear', 'linear-quick', 'bayes', 'tree', 'adaptive-tree', 'tree-reset', 'bayes-reset']
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from river import drift

from anabranch import statetree
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import TrainedOn
from config.learning import Portfolio, StandingSettings
from config.settings import Settings
from learners.arena.members import Member
from learners.models.catalogue import build
from learners.models.fence import is_fault
from learners.models.tasks import Task
from learners.retraining import fresh_after

# ── The portfolios: cheap models of several families that race beside the champion, as steps of a configuration ─────

Table = dict[str, Any]

_TREE: Table = {"use": "tree.HoeffdingTreeClassifier"}
_EAGER: Table = {"grace_period": 33, "delta": 0.068}
"""A tree that restarts has to grow while the concept lasts. Leveraging bagging has its trees learn each event six times
on average; said in a tree's own parameters, it asks six times as often, and is content with a sixth of the evidence."""
_EAGER_TREE: Table = {**_TREE, **_EAGER}
_ADAPTIVE: Table = {"use": "tree.HoeffdingAdaptiveTreeClassifier", **_EAGER, "drift_window_threshold": 50}
_FIRST_EDITION: dict[str, Table] = {
    "tree-reset": {**_TREE, "grace_period": 50, "delta": 1e-4},
    "adaptive-tree": {"use": "tree.HoeffdingAdaptiveTreeClassifier"},
    "forest": {"use": "forest.ARFClassifier", "n_models": 10},
}
"""Of labels, where the members were others: a configuration that was calibrated with `cheap-1` can go on with it."""

_ADAPTIVE_MEANS: Table = {"use": "tree.HoeffdingAdaptiveTreeRegressor", "leaf_prediction": "mean"}
"""Its linear leaves answer 100,000 now and then where 10 would be right, and a bounded loss hardly minds."""

_FOREST: Table = {"use": "forest.ARFClassifier", "n_models": 10, "max_features": 0.6}
"""With River's √d features at each split it is some 3 points worse on Agrawal's functions, and .8 on Elec2."""
_FOREST_R: Table = {"use": "forest.ARFRegressor", "n_models": 10}
_BAYES: Table = {"use": "naive_bayes.GaussianNB"}
_SGD: Table = {"use": "optim.SGD"}
_ADAGRAD: Table = {"use": "optim.AdaGrad", "lr": 0.1}


def members(portfolio: Portfolio, *, task: str, words: bool) -> list[StandingSettings]:
    """The standing shadows of a portfolio.

    Args:
        portfolio: `cheap-1` and `cheap-1+forest` are the first editions of those without a number.
        words: whether some features are strings: what computes with numbers then gets them one-hot encoded.
    """
    if task == "reco":
        return _recommenders()
    if task == "rank":
        return _rankers()
    is_first = portfolio.startswith("cheap-1")
    several = _numbers(words=words) if task == "regression" else _labels(task, words=words, is_first=is_first)
    if portfolio.endswith("+forest"):
        several.append(StandingSettings(name="forest", steps=(_FOREST_R if task == "regression" else _FOREST,)))
    if is_first and task != "regression":
        several = [_of_first_edition(each) for each in several]
    return several


def _of_first_edition(member: StandingSettings) -> StandingSettings:
    then = _FIRST_EDITION.get(member.name)
    return member if then is None else member.model_copy(update={"steps": (then,)})


def _labels(task: str, *, words: bool, is_first: bool) -> list[StandingSettings]:
    linear = "SoftmaxRegression" if task == "multiclass" else "LogisticRegression"
    # Rates that fall by themselves: better than a low one wherever one is, and the only linear model for rare classes.
    slow = ("linear-slow", _SGD | {"lr": 0.005}) if is_first else ("linear-adagrad", _ADAGRAD)
    rates = (slow, ("linear", _SGD | {"lr": 0.05}), ("linear-quick", _SGD | {"lr": 0.5}))
    bayes = (*_encoded(scaled=False), _BAYES) if words else (_BAYES,)
    return [
        *[
            StandingSettings(name=name, steps=(*_scaled(words=words), _linear(linear, optimizer)))
            for name, optimizer in rates
        ],
        StandingSettings(name="bayes", steps=bayes),
        StandingSettings(name="tree", steps=(_TREE,)),
        StandingSettings(name="adaptive-tree", steps=(_ADAPTIVE,)),
        StandingSettings(name="tree-reset", steps=(_EAGER_TREE,), reset_on_alarm=True),
        StandingSettings(name="bayes-reset", steps=bayes, reset_on_alarm=True),
    ]


def _numbers(*, words: bool) -> list[StandingSettings]:
    """Linear models on a standardised target, so that a learning rate means the same on every stream."""
    leaf: Table = {"leaf_prediction": "mean"} if words else {}  # a linear leaf cannot compute with words
    tree = {"use": "tree.HoeffdingTreeRegressor", **leaf}
    return [
        *[
            StandingSettings(
                name=name, steps=(*_scaled(words=words), _of_scaled_target(_linear("LinearRegression", _adam(rate))))
            )
            for name, rate in (("linear-slow", 0.005), ("linear", 0.05), ("linear-quick", 0.2))
        ],
        StandingSettings(name="tree", steps=(tree,)),
        StandingSettings(name="adaptive-tree", steps=(_ADAPTIVE_MEANS,)),
        StandingSettings(name="tree-reset", steps=(tree,), reset_on_alarm=True),
        StandingSettings(
            name="linear-reset",
            steps=(*_scaled(words=words), _of_scaled_target(_linear("LinearRegression", _adam(0.05)))),
            reset_on_alarm=True,
        ),
    ]


def remembering(task: str, *, words: bool) -> list[StandingSettings]:
    """Those that know the last labels, beside a portfolio: nothing changes, or what changes is learned."""
    labels: Table = {"use": "memory.Labels"}
    if task != "regression":
        linear = "SoftmaxRegression" if task == "multiclass" else "LogisticRegression"
        return [
            StandingSettings(name="persist", steps=({"use": "memory.LastLabel"},)),
            StandingSettings(
                name="linear-memory", steps=(labels, *_scaled(words=words), _linear(linear, _SGD | {"lr": 0.05}))
            ),
        ]
    number = _of_scaled_target(_linear("LinearRegression", _adam(0.05)))
    change: Table = {"use": "compose.Pipeline", "steps": [labels, *_scaled(words=words), number]}
    tree: Table = {"use": "tree.HoeffdingTreeRegressor", "leaf_prediction": "mean"}
    return [
        StandingSettings(name="persist", steps=({"use": "memory.LastValue"},)),
        StandingSettings(name="linear-memory", steps=(labels, *_scaled(words=words), number)),
        StandingSettings(name="difference-tree", steps=({"use": "memory.Differences", "regressor": tree},)),
        StandingSettings(name="difference-linear", steps=({"use": "memory.Differences", "regressor": change},)),
    ]


def _recommenders() -> list[StandingSettings]:
    """Biases alone, and factors at two rates. (A forest knows nothing of users and items.)"""
    biases: Table = {"use": "reco.Baseline", "optimizer": {"use": "optim.SGD", "lr": 0.05}}
    return [
        StandingSettings(name="biases", steps=(biases,)),
        *[
            StandingSettings(name=name, steps=(_factors(rate),))
            for name, rate in (("factors-slow", 0.01), ("factors", 0.05))
        ],
        StandingSettings(name="biases-reset", steps=(biases,), reset_on_alarm=True),
    ]


BASELINE = StandingSettings(name="popularity", steps=({"use": "ranking.Popularity"},))
"""It stands in each race of rankers: one that is no better than it has learned nothing of anybody."""


def _rankers() -> list[StandingSettings]:
    """What is taken lately, with what, by whom; and which of the items shown together."""
    several: dict[str, Table] = {
        "popularity-lately": {"use": "ranking.Popularity", "fading": 0.9995},
        "co-occurrence": {"use": "ranking.CoOccurrence"},
        "factors": {"use": "ranking.Factors"},
        "pairwise": {"use": "ranking.PairwiseLinear"},
    }
    return [StandingSettings(name=name, steps=(step,)) for name, step in several.items()]


def _factors(rate: float) -> Table:
    optimizer = {"use": "optim.SGD", "lr": rate}
    return {"use": "reco.BiasedMF", "bias_optimizer": optimizer, "latent_optimizer": optimizer}


def _linear(kind: str, optimizer: Table) -> Table:
    return {"use": f"linear_model.{kind}", "optimizer": optimizer}


def _adam(rate: float) -> Table:
    """For numbers: its steps are bounded by the rate, where a feature that had never moved made SGD diverge."""
    return {"use": "optim.Adam", "lr": rate}


def _of_scaled_target(regressor: Table) -> Table:
    return {"use": "preprocessing.TargetStandardScaler", "regressor": regressor}


def _scaled(*, words: bool) -> tuple[Table, ...]:
    return _encoded(scaled=True) if words else ({"use": "preprocessing.StandardScaler"},)


def _encoded(*, scaled: bool) -> tuple[Table, ...]:
    """Numbers (standardised or not) beside one-hot encoded words."""
    numbers: list[Table] = [{"use": "compose.SelectType", "types": ["number"]}]
    if scaled:
        numbers.append({"use": "preprocessing.StandardScaler"})
    words: list[Table] = [{"use": "compose.SelectType", "types": ["string"]}, {"use": "preprocessing.OneHotEncoder"}]
    pipelines = [{"use": "compose.Pipeline", "steps": steps} for steps in (numbers, words) if len(steps) > 1]
    return ({"use": "compose.TransformerUnion", "transformers": pipelines if scaled else [*numbers, *pipelines]},)


# ── The places ──────────────────────────────────────────────────────────────────────────────────────────────────────

FAULTS_MAX = 3
"""A place whose models raise more often stays empty."""

ALARM_DELTA = 0.02

FIRST = "first"
"""The place of the configured model, where no standing shadow is the same."""


class Alarm:
    """ADWIN on a member's own error; only a rise counts.

    >>> alarm = Alarm()
    >>> errors = [0.0, 1.0, 0.0, 0.0] * 100 + [1.0, 1.0, 0.0] * 100
    >>> [n for n, error in enumerate(errors) if alarm.update(error)]
    [447]
    """

    __slots__ = ("detector", "errors", "total")

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget everything."""
        self.detector = drift.ADWIN(delta=ALARM_DELTA)
        self.total, self.errors = 0.0, 0

    def update(self, error: float) -> bool:
        """Whether the error has risen."""
        self.detector.update(error)
        self.total += error
        self.errors += 1
        if not self.detector.drift_detected:
            return False
        before, self.total, self.errors = self.total / self.errors, 0.0, 0
        return bool(self.detector.estimation > before)


class Refill(NamedTuple):
    """A place that is to be filled with a fresh model, and why."""

    place: str
    model: Any
    trained_on: TrainedOn
    reason: str


class StandingPlaces:
    """The places by name, and who holds each: a shadow, or the champion.

    When a champion's place is to be filled again, the champion goes on without a place: nothing is served because
    of an alarm.
    """

    def __init__(self, settings: Settings, *, task: Task) -> None:
        self.settings = settings
        self.task = task
        self.places: dict[str, StandingSettings] = {}
        self.holders: dict[str, Member] = {}
        self.born: dict[str, int] = {}
        self.faults: dict[str, int] = {}
        self.alarms: dict[str, Alarm] = {}
        self.words = False
        ranks = settings.task == "rank"
        self.any = ranks or settings.shadows.portfolio is not None or bool(settings.shadows.standing)
        self.of_first = ""
        """The place that the first champion holds: that of a standing shadow with the same model, or one of its own."""
        self._set_places()
        if self.any:
            self._check()
            # The places are set twice: which of them the first champion holds is known only once they are built, and
            # where none fits, it gets one of its own.
            self.of_first = self._place_of_first()
            self._set_places()

    def _set_places(self) -> None:
        shadows = self.settings.shadows
        chosen = members(shadows.portfolio, task=self.settings.task, words=self.words) if shadows.portfolio else []
        if shadows.portfolio and self.settings.memory.labels:
            chosen += remembering(self.settings.task, words=self.words)
        if self.settings.task == "rank":
            chosen = [BASELINE, *chosen]
        self.places = {each.name: each for each in [*chosen, *shadows.standing]}
        if self.of_first == FIRST:
            self.places[FIRST] = StandingSettings(name=FIRST, steps=())
        self.tended = [each for each in self.places.values() if each.restart_every or each.reset_on_alarm]
        for each in self.tended:
            if each.reset_on_alarm:
                self.alarms.setdefault(each.name, Alarm())

    def tend(self, event: AcceptedEvent, answers: dict[str, Prediction], *, event_number: int) -> Iterator[Refill]:
        """The places to be filled after this event: those whose member is old or alarmed, and empty ones."""
        for place in self.tended:
            member = self.holders.get(place.name)
            if member is None:
                continue
            answer = answers.get(member.name)
            alarm = self.alarms.get(place.name) if answer is not None else None
            alarmed = alarm is not None and alarm.update(self.task.error(event.y, answer or Prediction(None)))
            if member.kind == "displaced":
                continue  # it may be called back as it is
            if alarmed:
                yield from self._fresh(place.name, event, event_number, "restarts: its own error has risen")
            elif place.restart_every and event_number - self.born.get(place.name, 0) >= place.restart_every:
                yield from self._fresh(place.name, event, event_number, f"restarts after {place.restart_every}")
        if len(self.holders) + len(self.spent) < len(self.places):
            yield from self._vacant(event, event_number)

    @property
    def spent(self) -> list[str]:
        """The places whose models have raised too often."""
        return [name for name, faults in self.faults.items() if faults > FAULTS_MAX and name in self.places]

    def _vacant(self, event: AcceptedEvent, event_number: int) -> Iterator[Refill]:
        view = self.task.view_of(None)
        seen = event.x if view is None else view(event.x)
        if not self.words and any(type(value) is str for value in seen.values()):
            self.words = True  # from now on, what computes with numbers gets words encoded
            self._set_places()
        for name in self.places:
            if name not in self.holders and self.faults.get(name, 0) <= FAULTS_MAX:
                yield from self._fresh(name, event, event_number, "a standing shadow")

    def _fresh(self, name: str, event: AcceptedEvent, event_number: int, reason: str) -> Iterator[Refill]:
        """A fresh model for a place, if one can be made: a factory, which made one at the start, may do as it likes."""
        # Noted before the model is made: a factory that fails is
        # then asked again after the interval, not on the next event.
        self.born[name] = event_number
        if name in self.alarms:
            self.alarms[name].start()
        try:
            model = self.build(name)
        except BaseException as error:
            if not is_fault(error):
                raise
            self.faults[name] = self.faults.get(name, 0) + 1
            return
        yield Refill(name, model, fresh_after(event.partition, event.offset, event_number=event_number), reason)

    def build(self, name: str) -> Any:
        """A fresh model for a place."""
        if name == FIRST:
            return build(self.settings.model, seed=self.settings.seed)
        spec = self.settings.model.model_copy(update={"steps": self.places[name].steps, "factory": None})
        return build(spec, seed=self.settings.seed)

    def _check(self) -> None:
        """A mistaken model shows at start, and not when its place is filled."""
        for name in self.places:
            model = self.build(name)
            self.task.check(model)
            self.task.predictor(model)

    def _place_of_first(self) -> str:
        own = self._digest(FIRST)
        # Never a place that restarts: it holds another model soon, however alike the two are at the start.
        alike = [name for name in self.places if self.places[name] not in self.tended and self._digest(name) == own]
        return alike[0] if alike else FIRST

    def _digest(self, name: str) -> str:
        return statetree.digest(self.build(name), trusted=self.settings.model.trusted)

    def rescaled(self) -> None:
        """The same errors cost more from now on, which is no rise."""
        for alarm in self.alarms.values():
            alarm.start()

    def fault(self, place: str) -> None:
        """The model of a place raised, and has left."""
        del self.holders[place]
        self.faults[place] = self.faults.get(place, 0) + 1

    def hold(self, member: Member) -> None:
        """A member holds its place from now on."""
        self.holders[member.place] = member

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        alarms = {name: (each.detector, each.total, each.errors) for name, each in self.alarms.items()}
        return {"born": dict(self.born), "faults": dict(self.faults), "words": self.words, "alarms": alarms}

    def restore(self, state: dict[str, Any], members: Iterable[Member]) -> None:
        """Go on from a checkpoint; a member whose place is no longer configured goes on without one."""
        self.born, self.faults, self.words = dict(state["born"]), dict(state["faults"]), state["words"]
        # Once more, since `words` is known only now and decides on the steps of the portfolio's models.
        self._set_places()
        for name, (detector, total, errors) in state["alarms"].items():
            if name in self.alarms:
                alarm = self.alarms[name]
                alarm.detector, alarm.total, alarm.errors = detector, total, errors
        self.holders = {}
        for member in members:
            if member.place in self.places:
                self.hold(member)
            elif member.place:
                member.place = ""
