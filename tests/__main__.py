"""Every test that needs no download: the notebooks, then tests/test_*.py. Run as `python -m tests`."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))

STEPS = {
    "Notebooks (nbdev_test)": [SCRIPTS / "nbdev_test", "--n_workers", "2", "--timing"],
    "Tests (pytest)": [sys.executable, "-m", "pytest", "-q"],
}


def main():
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | {
            # Two notebooks run side by side, so each may use one core.
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            # No test may lean on what this machine has downloaded before, or download anything now: it would
            # pass here and fail elsewhere. Nothing listens at this address; localhost stays open to tests.
            "CIFAR_CNN_DATA": empty,
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
            "no_proxy": "localhost,127.0.0.1",
        }
        failed = []
        for heading, command in STEPS.items():
            print(f"\n== {heading} ==", flush=True)
            if subprocess.run(command, cwd=ROOT, env=environment).returncode != 0:
                failed.append(heading)
    if failed:
        sys.exit(f"\nFailed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
