"Checkpoints that were changed at random: `python -m tests.mutate_checkpoints` does more of it."

import time

from tests.mutate_checkpoints import survive_alone


def test_changed_checkpoints_are_refused_or_answer():
    seed = time.time_ns() % 10**6
    outcome = survive_alone(50, seed)
    assert outcome["refused"] + outcome["answered"] == 50
    assert outcome["refused"] >= 20, f"half of the changes do harm; repeat with --times 50 --seed {seed}"
    assert outcome["bytes"] < 1_000_000_000, f"repeat with --times 50 --seed {seed}"
