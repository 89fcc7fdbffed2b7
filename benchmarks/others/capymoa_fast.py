"""CapyMOA's fast loop, which is MOA's own in Java: rows from a file as text, test-then-train, and what it answered.

    python capymoa_fast.py LEARNER SEED ROWS.arff

Prints JSON: the place of each answer among the classes, the seconds of wall and processor, and the most memory.
"""

import json
import sys
import time
from pathlib import Path

from capymoa import classifier
from capymoa.evaluation import prequential_evaluation
from capymoa.stream import ARFFStream

LEARNERS = {
    "HoeffdingTree": lambda schema, seed: classifier.HoeffdingTree(schema),
    "ARF10": lambda schema, seed: classifier.AdaptiveRandomForestClassifier(schema, random_seed=seed, ensemble_size=10),
    "LeveragingBagging10": lambda schema, seed: classifier.LeveragingBagging(
        schema, random_seed=seed, ensemble_size=10
    ),
    "SRP10": lambda schema, seed: classifier.StreamingRandomPatches(schema, random_seed=seed, ensemble_size=10),
    "SGBT100": lambda schema, seed: classifier.StreamingGradientBoostedTrees(schema, random_seed=seed),
}
"""All settings but the seed and the number of models are CapyMOA's defaults; SGBT's number is, too."""


def peak_mb() -> float:
    """The memory at its highest, Java's heap included: it lies in this process."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def main() -> None:
    """Carry out one pass."""
    name, seed, rows = sys.argv[1:]
    stream = ARFFStream(path=rows)
    learner = LEARNERS[name](stream.get_schema(), int(seed))
    began_s, cpu_s = time.perf_counter(), time.process_time()
    passed = prequential_evaluation(stream, learner, window_size=1000, store_predictions=True, progress_bar=False)
    measured = {"seconds": time.perf_counter() - began_s, "cpu": time.process_time() - cpu_s, "rss_mb": peak_mb()}
    print(json.dumps({**measured, "answers": [int(each) for each in passed.predictions()]}))


if __name__ == "__main__":
    main()
