"""How long a half-year takes to be scored, by number of people, on one core.

Signals and scores of one window, as a run computes them. Companies are those of `simulation.py`, larger.

    python benchmarks/scoring_sizes.py --sizes 240,1000,3000
"""

# ruff: noqa: E402 - numpy reads the number of threads when it is imported
from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import platform
import resource
import time
from dataclasses import replace

import numpy as np
import scipy
from simulation import BASE, simulate

from assets.rules import scoring, signals


def main() -> None:
    """Prints a table of sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="240,1000,3000", help="people; default: %(default)s")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, one thread\n")
    print("| people | ratings | fit and signals, s | score and sensitivity, s | together, s | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    for people in map(int, options.sizes.split(",")):
        part = people / BASE.people
        planted = {name: round(getattr(BASE, name) * part) for name in ("strong", "subtle", "sinkers")}
        ratings = simulate(replace(BASE, people=people, **planted), 1).ratings
        started = time.process_time()
        fit = scoring.fit(ratings)
        found = signals.find(ratings, fit)
        fitted = time.process_time()
        scoring.score(ratings, fitted=fit, flagged=signals.flagged_pairs(found, fit))
        scored = time.process_time()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"| {people:,} | {len(ratings):,} | {fitted - started:.1f} | {scored - fitted:.1f} "
            f"| {scored - started:.1f} | {memory:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
