"""`anabranch learn`: the learning loop on Kafka."""

import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from commands.several import Options
    from consumers.loop import LearningLoop


def learn(
    configs: Annotated[
        list[Path],
        typer.Argument(help="the model's TOML file; several, or a folder of them: a model each", metavar="CONFIG…"),
    ],
    until_end: Annotated[bool, typer.Option(help="stop when everything now in the log has been learned")] = False,
    warm_up: Annotated[Path | None, typer.Option(help="train the first champion on this file")] = None,
    published: Annotated[
        str | None, typer.Option("--from", help="start from a published model: models:/name/7, models:/name@champion")
    ] = None,
    target: Annotated[str, typer.Option(help="the label column in --warm-up")] = "target",
    accept_loss: Annotated[
        bool,
        typer.Option(
            help="continue with what was learned if records are gone for good, or the topic is a different one"
        ),
    ] = False,
    json: Annotated[bool, typer.Option(help="print every message as a line of JSON")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="answer Prometheus there; 0: any port; default: metrics.port")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help='processes that share the partitions, with scope = "partition"')
    ] = 1,
    worker: Annotated[int | None, typer.Option(hidden=True, help="which of several this is")] = None,
) -> None:
    """Learn from the events topic; publish signals, reports, updates and dead letters to theirs.

    Several files are several models, each with its own checkpoints, group and topics' messages as in a process of its
    own; models of one topic read it together. What ends one does not end the others.

    It resumes from the last checkpoint; --warm-up and --from are for the very first start, and refused later. If the
    broker goes away, it waits. SIGTERM and Ctrl-C stop it after a checkpoint. Exit code 75: another process has taken
    over the model; 3: with --until-end, more than a tenth of what was read could not be used (refused, duplicates, no
    label). With --workers, one that dies is started again, and each answers Prometheus on a port of its own: the first
    on the one that is set, the next on the one after it.
    """
    from commands import several, wiring
    from commands import workers as processes

    files, options = several.files(configs), several.Options(until_end, accept_loss, json, metrics_port, worker)
    if workers > 1:
        several.refuse_workers(files)
        given = {"until_end": until_end, "warm_up": warm_up, "from": published, "target": target}
        given |= {"accept_loss": accept_loss, "json": json}
        read = processes.run(wiring.settings_at(files[0]), files[0], given, workers=workers, metrics_port=metrics_port)
        if until_end:
            wiring.exit_by(read)
        return
    if len(files) > 1:
        several.refuse_first_only(warm_up=warm_up, published=published)
        loops = several.learn(files, options)
    else:
        loops = [_learn(files[0], options, warm_up=warm_up, published=published, target=target)]
    if worker is not None:
        return
    for loop in loops if not json else ():
        for owner in sorted(loop.owners.values(), key=lambda owner: owner.scope):
            print(wiring.summary(owner, named=len(files) > 1))
    if until_end:
        several.exit_by(loops)


def _learn(
    config: Path, options: "Options", *, warm_up: Path | None, published: str | None, target: str
) -> "LearningLoop":
    """One model, in this process's own thread."""
    from commands import data, exporting, wiring
    from commands.views.learn import View
    from commands.workers import Teller, of_worker
    from consumers.kafka import topics
    from consumers.owner import StartOptions
    from consumers.supervisor import supervise

    settings, worker = wiring.settings_at(config), options.worker
    settings = settings if worker is None else of_worker(settings, worker)
    files = None if warm_up is None else data.files(settings, [warm_up], target=target)
    first = wiring.first_champion(settings, warm_up=files, published=published)
    view = View(settings) if worker is None else Teller(worker, tells_all=options.json)
    shown = worker is not None or (sys.stderr.isatty() and not options.json)
    given = f"--from {published}" if published else f"--warm-up {warm_up}" if warm_up else ""
    how = StartOptions(accept_loss=options.accept_loss, first_only=given)

    def make(stopping: threading.Event, before: "LearningLoop | None") -> "LearningLoop":
        if before is None:
            topics.see(settings)
        shows = view.hear if shown else wiring.print_message if options.json else None
        view.loop = wiring.learning_loop(
            settings, first=first, how=how, before=before, listener=exporter.beside(shows), stopping=stopping
        )
        return view.loop

    exporter = exporting.Exporter([settings], lambda: [view.loop] if view.loop else [], port=options.metrics_port)
    with exporter, view if shown else nullcontext():
        loop = supervise(make, until_end=options.until_end)
    if isinstance(view, Teller):
        view.ended(loop)
    return loop
