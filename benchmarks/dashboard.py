"""What the dashboard costs, and how quick it is: 50 models over 24 hours on a real Kafka, one browser and several.

    python -m benchmarks.dashboard [--models 50] [--hours 24] [--seconds 20] [--pages 5]
    python -m benchmarks.dashboard --models 6 --pictures docs    the pictures in docs/DASHBOARD.md, taken again

The dashboard is a process of its own, as users start it; its CPU and memory are those that the system counts for it.
The models' reports come every five seconds, as learners tell them. Chromium draws a chart a model, all in sight at once
(software rendering: there is no graphics card here), while all move on; its frames are counted by the page itself. The
load of the machine is printed with the figures. Needs Java, Maven, Chromium, and `make peers web`.
"""

import argparse
import heapq
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from anabranch.messages import encode
from benchmarks.told_models import Told, ToldModel
from commands.brokers.local import LocalKafka, create_topic
from config.records import Topics
from operations.picture import KINDS

INTERVAL_S = 5.0
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")

FRAMES = """
() => new Promise((resolve) => {
  const began = performance.now();
  const draws = anabranchCounters.draws;
  let frames = 0;
  const count = () => {
    frames++;
    const took = performance.now() - began;
    if (took < 5000) requestAnimationFrame(count);
    else {
      const drawn = (anabranchCounters.draws - draws) / took * 1000;
      resolve({ fps: frames / took * 1000, draws_per_s: drawn, mounted: anabranchCounters.mounted });
    }
  };
  requestAnimationFrame(count);
})
"""
PANNED = """
() => new Promise((resolve) => {
  const began = performance.now();
  const draws = anabranchCounters.draws;
  let frames = 0;
  const [from, to] = anabranch.view.range();
  const pan = () => {
    frames++;
    const took = performance.now() - began;
    anabranch.view.fix(from - took / 20, to - took / 20);
    if (took < 5000) requestAnimationFrame(pan);
    else resolve({ fps: frames / took * 1000, draws_per_s: (anabranchCounters.draws - draws) / took * 1000 });
  };
  requestAnimationFrame(pan);
})
"""
SEVERAL, MODEL = "", "model-00/global"
PICTURES = {
    "overview-light": (SEVERAL, "light", 1280, 520),
    "overview-dark": (SEVERAL, "dark", 1280, 520),
    "model-light": (f"model/{MODEL}?span=3600", "light", 1400, 1150),
    "model-dark": (f"model/{MODEL}?span=3600", "dark", 1400, 1150),
    "versions-dark": (f"versions/{MODEL}", "dark", 1280, 760),
    "swap-light": (f"swap/{MODEL}/3", "light", 1280, 1000),
    "phone-light": (f"data/{MODEL}", "light", 390, 900),
}
"""By name: the screen, the colours, and the window."""
PAINT = "() => performance.getEntriesByType('paint').find((each) => each.name === 'first-contentful-paint').startTime"


class Cost:
    """CPU and memory of a process, by /proc."""

    def __init__(self, pid: int) -> None:
        self.stat, self.statm = Path(f"/proc/{pid}/stat"), Path(f"/proc/{pid}/statm")

    def cpu_s(self) -> float:
        """Seconds of CPU so far."""
        fields = self.stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss_mb(self) -> float:
        """Megabytes of memory now."""
        return int(self.statm.read_text().split()[1]) * PAGE / 1e6

    def percent(self, seconds: float) -> float:
        """Of one core, over some time from now."""
        before, began_s = self.cpu_s(), time.monotonic()
        time.sleep(seconds)
        return 100 * (self.cpu_s() - before) / (time.monotonic() - began_s)


class Telling:
    """Tells of all models: what was, then what comes."""

    def __init__(self, bootstrap: str, *, models: int, hours: float) -> None:
        self.topics = Topics()
        for key in KINDS:
            create_topic(bootstrap, self.topics.name(key), partitions=1)
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "compression.type": "lz4"})
        self.now_s, self.hours_s = time.time(), 3600 * hours
        began_s = self.now_s - self.hours_s
        self.models = [ToldModel(f"model-{n:02d}", began_s=began_s - 97 * n, seed=n) for n in range(models)]
        self.stopping = threading.Event()

    def past(self) -> int:
        """Of the last quarter of an hour all reports, of before one in 30 s, in order of time; how many messages."""
        began_s, fine_s = self.now_s - self.hours_s, self.now_s - 900
        coarse = [model.between(began_s, fine_s, interval_s=30.0) for model in self.models]
        fine = [model.between(fine_s, self.now_s, interval_s=INTERVAL_S) for model in self.models]
        count = 0
        for several in (coarse, fine):
            count += sum(self._send(told) for told in heapq.merge(*several, key=lambda told: told.at_s))
        self.producer.flush()
        return count

    def _send(self, told: Told) -> int:
        value, at_ms = encode(told.message), int(1000 * told.at_s)
        while True:
            with suppress(BufferError):
                self.producer.produce(self.topics.name(told.key), value, "k", partition=0, timestamp=at_ms)
                self.producer.poll(0)
                return 1
            self.producer.poll(0.1)

    def live(self) -> None:
        """Each model's report every five seconds, spread over them."""
        while not self.stopping.is_set():
            for model in self.models:
                now_s = time.time()
                self._send(Told(now_s, "reports", model.report(now_s, INTERVAL_S)))
                self.producer.flush(5)
                if self.stopping.wait(INTERVAL_S / len(self.models)):
                    return

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """While the block runs, it is told on."""
        thread = threading.Thread(target=self.live)
        thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            thread.join()
            del self.producer  # before its broker goes


CONFIG = """\
name = "model-00"
task = "binary"
[model]
steps = [{{ use = "naive_bayes.GaussianNB" }}]
[kafka]
"bootstrap.servers" = "{bootstrap}"
"""


@contextmanager
def started(folder: Path, bootstrap: str) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """The dashboard's process, its port, and how long it took to have read everything."""
    config = folder / "model.toml"
    config.write_text(CONFIG.format(bootstrap=bootstrap))
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    began_s = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "commands.main", "dashboard", str(config), "--port", str(port)])
    try:
        while not _has_read(port):
            time.sleep(0.1)
        yield process, port, time.monotonic() - began_s
    finally:
        process.terminate()
        process.wait(10)


def fetched(port: int, path: str) -> bytes:
    """What is on the wire."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")  # of this machine
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310  # as above
        data: bytes = response.read()
    return data


def _has_read(port: int) -> bool:
    try:
        feed = orjson.loads(fetched(port, "/healthz"))["feed"]
    except OSError:
        return False
    return bool(feed["is_live"] and feed["heard"] and feed["share"] == 1.0)


def measured(port: int, process: subprocess.Popen[bytes], *, seconds: float, pages: int) -> dict[str, Any]:
    """Everything that is asked of it."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of `make peers`, which --help does not need

    cost = Cost(process.pid)
    found: dict[str, Any] = {"rss_mb": cost.rss_mb(), "cpu_percent_no_page": cost.percent(seconds)}
    for path in ("/api/models", "/api/models/model-00/global"):
        times = [_timed(port, path) for _ in range(5)]
        found[f"{path} ms"], found[f"{path} kB"] = 1000 * statistics.median(times), len(fetched(port, path)) / 1000
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=list(ARGUMENTS))
        found |= _page(browser, port)
        wall = browser.new_page(viewport={"width": 1600, "height": 3600})
        wall.goto(f"http://127.0.0.1:{port}/#/?view=charts")
        wall.wait_for_timeout(4000)
        found["charts"] = wall.evaluate(FRAMES)
        found["cpu_percent_1_page"] = cost.percent(seconds)
        found["panned"] = wall.evaluate(PANNED)
        wall.close()
        several = [browser.new_page() for _ in range(pages)]
        for each in several:
            each.goto(f"http://127.0.0.1:{port}/#/model/model-00/global")
        time.sleep(3)
        found[f"cpu_percent_{pages}_pages"] = cost.percent(seconds)
        browser.close()
    return found | {"rss_mb_at_the_end": cost.rss_mb()}


def take_pictures(port: int, folder: Path) -> None:
    """The screens that the documentation shows."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # as above

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=list(ARGUMENTS))
        for name, (screen, scheme, width, height) in PICTURES.items():
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{port}/#/{screen}")
            page.wait_for_timeout(4000)  # all is drawn, and some reports have come
            page.screenshot(path=folder / f"dashboard-{name}.png")
            context.close()
        browser.close()


def _timed(port: int, path: str) -> float:
    began_s = time.perf_counter()
    fetched(port, path)
    return time.perf_counter() - began_s


def _page(browser: Any, port: int) -> dict[str, Any]:
    """First paint, when it is whole, and its weight, in a fresh browser."""
    paints, wholes, weight = [], [], 0
    for _ in range(5):
        context = browser.new_context()
        page = context.new_page()
        sizes: list[int] = []
        page.on("requestfinished", lambda each, sizes=sizes: sizes.append(sum(_size(each))))
        began_s = time.perf_counter()
        page.goto(f"http://127.0.0.1:{port}/#/model/model-00/global")
        while not page.evaluate("window.anabranchCounters?.draws > 3"):
            time.sleep(0.01)
        wholes.append(1000 * (time.perf_counter() - began_s))
        paints.append(page.evaluate(PAINT))
        page.wait_for_timeout(300)
        weight = sum(sizes)
        context.close()
    return {
        "first_paint_ms": statistics.median(paints),
        "whole_ms": statistics.median(wholes),
        "page_kB": weight / 1000,
    }


def _size(request: Any) -> tuple[int, int]:
    sizes = request.sizes()
    return sizes["responseBodySize"], sizes["responseHeadersSize"]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pages", type=int, default=5)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="take the documentation's pictures instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, LocalKafka() as kafka:
        telling = Telling(kafka.bootstrap, models=options.models, hours=options.hours)
        print(f"{options.models} models, {options.hours:g} h: {telling.past():,} messages", flush=True)
        with started(Path(folder), kafka.bootstrap) as (process, port, took_s), telling.going_on():
            print(f"read after {took_s:.1f} s, with {Cost(process.pid).cpu_s():.1f} s of CPU", flush=True)
            if options.pictures:
                take_pictures(port, options.pictures)
                return
            found = measured(port, process, seconds=options.seconds, pages=options.pages)
    for name, value in found.items():
        print(f"{name:40} {value if isinstance(value, dict) else f'{value:,.1f}'}")
    print(f"load of the machine: {os.getloadavg()}")


if __name__ == "__main__":
    main()
