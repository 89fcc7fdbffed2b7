"""Several models in one process of `anabranch learn`: their files, what they share, and how each is run."""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import typer

from anabranch.errors import ConfigError
from anabranch.messages import Message, encode
from commands import exporting, wiring
from commands.views.learn import View
from config.settings import Settings
from consumers.fanout import Fanout
from consumers.guard.reading import Reading, agreed
from consumers.kafka import topics
from consumers.kafka.fetch import KafkaFetch
from consumers.loop import LearningLoop
from consumers.owner import StartOptions
from consumers.several import supervise_all
from consumers.supervisor import Make


class Options(NamedTuple):
    """What counts for one model and for several; as on the command line."""

    until_end: bool
    accept_loss: bool
    json: bool
    metrics_port: int | None
    worker: int | None


def files(given: Sequence[Path]) -> list[Path]:
    """The configuration files, those in folders in the order of their names.

    Raises:
        ConfigError: a folder holds none.
    """
    found: list[Path] = []
    for path in given:
        there = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        if not there:
            raise ConfigError(f"{path}: a folder without a configuration: put a TOML file for each model there")
        found += there
    return found


def refuse_first_only(*, warm_up: Path | None, published: str | None) -> None:
    """What one model begins with cannot be given to several.

    Raises:
        ConfigError: it is.
    """
    for option, given in (("--warm-up", warm_up), ("--from", published)):
        if given is not None:
            raise ConfigError(
                f"{option} is for the very first start of one model: start that one alone with it, with --until-end, "
                "and then all together"
            )


def refuse_workers(configs: Sequence[Path]) -> None:
    """Several processes share the partitions of one model.

    Raises:
        ConfigError: there are several.
    """
    if len(configs) > 1:
        raise ConfigError(
            f"--workers is for one model, and {len(configs)} files are given: start each with its own --workers, or "
            "all in one process without"
        )


def settings_of(configs: Sequence[Path]) -> list[Settings]:
    """The settings of all files.

    Raises:
        ConfigError: one cannot be used, two are of one model, or two name different factories alike.
    """
    found: dict[str, tuple[Path, Settings]] = {}
    for config in configs:
        settings = wiring.settings_at(config)
        if settings.name in found:
            before = found[settings.name][0]
            raise ConfigError(
                f"{before} and {config} are both of model {settings.name!r}: give each another `name`, by which it has "
                "its checkpoints, its group and its messages"
            )
        _see_module(config, settings.model.factory or "", key="model.factory")
        if ":" in settings.retrain.executor:
            _see_module(config, settings.retrain.executor, key="retrain.executor")
        found[settings.name] = config, settings
    return [settings for _, settings in found.values()]


def _see_module(config: Path, named: str, *, key: str) -> None:
    """A process imports one module of a name: that beside another file would be taken for this one's."""
    name = named.partition(":")[0]
    beside = config.resolve().parent.joinpath(*name.split(".")).with_suffix(".py")
    taken = getattr(sys.modules.get(name), "__file__", None)
    if name and beside.exists() and taken and Path(taken).resolve() != beside.resolve():
        raise ConfigError(
            f"{config}: {key} is in {beside}, but {taken} is imported under the same name already: rename one "
            "of the modules, or learn the models in processes of their own"
        )


class Shared:
    """What the models of one process read together. Who shares nothing with anybody reads alone."""

    def __init__(self, several: Sequence[Settings]) -> None:
        together = [each for each in several if each.scope == "global"]
        self.fanouts: dict[bytes, Fanout] = {}
        self.readings: dict[tuple[Any, ...], Reading] = {}
        for key in {_stream(each) for each in together}:
            members = [each for each in together if _stream(each) == key]
            if len(members) > 1:
                make = partial(KafkaFetch, members[0].kafka)
                self.fanouts[key] = Fanout(make, members=len(members))
                for each in members:
                    self.readings.setdefault((key, *agreed(each)), Reading(each, is_shared=True))

    def of(self, settings: Settings) -> tuple[Fanout | None, Reading | None]:
        """What a model shares."""
        key = _stream(settings) if settings.scope == "global" else b""
        return self.fanouts.get(key), self.readings.get((key, *agreed(settings)))


def _stream(settings: Settings) -> bytes:
    """What is read: the brokers, as they are asked, and the topics."""
    labels = settings.topics.name("labels") if settings.labels.late else ""
    return orjson.dumps([sorted(settings.kafka.items()), settings.topics.name("events"), labels], default=str)


def learn(configs: Sequence[Path], options: Options) -> list[LearningLoop]:
    """Learn all models until a signal, or each until its end; the last loop of each.

    Raises:
        ConfigError: some of them cannot be learned in one process.
    """
    several = settings_of(configs)
    shared = Shared(several)
    views = {each.name: View(each, named=True) for each in several}
    loops = lambda: [view.loop for view in views.values() if view.loop]  # noqa: E731
    exporter = exporting.Exporter(several, loops, port=options.metrics_port)
    shown = sys.stderr.isatty() and not options.json
    how = StartOptions(accept_loss=options.accept_loss)
    makes = {}
    for each in several:
        view = views[each.name]
        shows = _print_message if options.json else view.hear if shown else None
        makes[each.name] = _make(each, view, shared, how=how, listener=exporter.beside(shows))
    with ExitStack() as stack:
        for manager in (exporter, *(views.values() if shown else ())):
            stack.enter_context(manager)
        return list(supervise_all(makes, until_end=options.until_end).values())


def _make(
    settings: Settings,
    view: View,
    shared: Shared,
    *,
    how: StartOptions,
    listener: Callable[[Message], None] | None,
) -> Make:
    first, (fanout, reading) = wiring.first_champion(settings), shared.of(settings)

    def make(stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
        if before is None:
            topics.see(settings)
        # What was lost before the first start is accepted once; what is lost later needs a person again.
        has_run = view.loop is not None and view.loop.has_run
        view.loop = wiring.learning_loop(
            settings,
            first=first,
            how=StartOptions() if has_run and before is None else how,
            before=before,
            listener=listener,
            stopping=stopping,
            fanout=fanout,
            reading=reading,
        )
        return view.loop

    return make


def _print_message(message: Message) -> None:
    """One message as one line, in one piece: models tell from threads of their own."""
    sys.stdout.write(encode(message).decode() + "\n")
    sys.stdout.flush()


def exit_by(loops: Sequence[LearningLoop]) -> None:
    """As `wiring.exit_by`, of all models.

    Raises:
        Exit: with code 3, if too much of what one of them has read was of no use.
    """
    if len(loops) == 1:
        wiring.exit_by(loops[0].read)
    for loop in loops if len(loops) > 1 else ():
        if words := loop.read.in_words():
            print(f"{loop.settings.name}: {words}", file=sys.stderr)
    if any(loop.read.ended_badly for loop in loops):
        raise typer.Exit(wiring.NOT_USED)
