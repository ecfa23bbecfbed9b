"""Every test that needs no download: the notebooks, then tests/test_*.py. Run as `python -m tests`."""

import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))

STEPS = [  # heading, command, threads a process: two notebooks run side by side, pytest runs alone
    ("Notebooks (nbdev_test)", [SCRIPTS / "nbdev_test", "--n_workers", "2", "--timing"], "1"),
    ("Tests (pytest)", [sys.executable, "-m", "pytest", "-q", "--durations=15"], "2"),
]


def main():
    # background jobs ignore it, and so would children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    failed = []
    with tempfile.TemporaryDirectory() as empty:
        # No test may lean on what this machine has downloaded before, or download anything now: it would pass
        # here and fail elsewhere. Nothing listens at this address; localhost stays open to tests.
        offline = {
            "CIFAR_CNN_DATA": empty,
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
            "no_proxy": "localhost,127.0.0.1",
        }
        for heading, command, threads in STEPS:
            print(f"\n== {heading} ==", flush=True)
            environment = os.environ | offline | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
            if subprocess.run(command, cwd=ROOT, env=environment).returncode != 0:
                failed.append(heading)
    if failed:
        sys.exit(f"\nFailed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
