"""How often the gate is wrong: with equally good networks, and with one that has lost four points of a class.

    python -m benchmarks.gate

No network is trained: the answers of several seeds stand in records/recipes.json. For each pair of seeds
a golden part is drawn a hundred times from the ten thousand test images, with replacement. The rules are
those about accuracy: the old classes together, each old class, better than before. Calibration and cost need
more than answers. Stores records/gate.json.
"""

import itertools

import numpy as np
import torch

from benchmarks.measure import read_record, write_record
from cifar_cnn.data import load_data
from cifar_cnn.loop.checks import Rules, check_classes, check_superiority, check_together, combine
from cifar_cnn.networks.answers import Evaluation

RECIPES = ("fast94", "small94", "fast")  # those of which there are three seeds or more
SEEDS, RESAMPLED = 3, 100


def judged(champion: Evaluation, challenger: Evaluation) -> tuple[str, bool]:
    """The decision of the rules about accuracy, where nothing was corrected and no class added.

    And whether McNemar's test with Bonferroni's correction alone would reject, however small the loss.
    """
    rules = Rules()
    by_class = check_classes(champion, challenger, rules)
    checks = [check_together(champion, challenger, rules), by_class, check_superiority(champion, challenger)]
    shown = any(pairs["p"] < by_class.numbers["limit_of_p"] for pairs in by_class.numbers["classes"].values())
    return combine(checks, rules).decision, shown


def drawn(evaluation: Evaluation, index: torch.Tensor) -> Evaluation:
    return Evaluation(evaluation.labels[index], evaluation.probabilities[index], evaluation.classes)


def without_four_points(
    champion: Evaluation, challenger: Evaluation, label: int, generator: torch.Generator
) -> Evaluation:
    "The challenger, with answers of one class made wrong until it is four points below the champion there."
    members = champion.labels == label
    surplus = challenger.correct[members].sum() - champion.correct[members].sum()
    count = int(surplus + round(0.04 * members.sum().item()))
    right = (members & challenger.correct).nonzero().flatten()
    taken = right[torch.randperm(len(right), generator=generator)[:count]]
    probabilities = challenger.probabilities.clone()
    probabilities[taken] = probabilities[taken].roll(1, 1)
    return Evaluation(challenger.labels, probabilities, challenger.classes)


def shares(found: list[tuple[str, bool]]) -> dict[str, float]:
    decisions = [decision for decision, _ in found]
    counted = {name: decisions.count(name) / len(found) for name in ("PROMOTE", "HOLD", "REJECT")}
    return {**counted, "a class by McNemar alone": sum(shown for _, shown in found) / len(found)}


def measure(name: str, runs: list[dict], labels: torch.Tensor, classes: tuple[str, ...]) -> dict:
    "Decisions over all ordered pairs of seeds, each with its share of the resampled golden parts."
    generator = torch.Generator().manual_seed(0)
    answers = [torch.tensor([int(digit) for digit in run["predictions"]]) for run in runs]
    networks = [
        Evaluation(labels, torch.nn.functional.one_hot(said, len(classes)).float(), classes)
        for said in answers
    ]
    found = {"same recipe": [], "same recipe, 1,000 images": [], "four points of one class lost": []}
    pairs, largest = list(itertools.permutations(networks, 2)), []
    for champion, challenger in pairs:
        gained = challenger.correct.double() - champion.correct.double()
        by_class = [gained[labels == label].mean().item() for label in range(len(classes))]
        largest.append(min(by_class))
        for _ in range(RESAMPLED):
            index = torch.randint(len(labels), (len(labels),), generator=generator)
            found["same recipe"].append(judged(drawn(champion, index), drawn(challenger, index)))
            few = index[:1000]
            found["same recipe, 1,000 images"].append(judged(drawn(champion, few), drawn(challenger, few)))
        for label in range(len(classes)):
            worse = without_four_points(champion, challenger, label, generator)
            for _ in range(RESAMPLED // len(classes)):
                index = torch.randint(len(labels), (len(labels),), generator=generator)
                decision = judged(drawn(champion, index), drawn(worse, index))
                found["four points of one class lost"].append(decision)
    result = {case: shares(decisions) for case, decisions in found.items()}
    for case, of in result.items():
        print(f"{name}, {case}: " + ", ".join(f"{key} {share:.1%}" for key, share in of.items()), flush=True)
    return {"pairs": len(pairs), "resampled": RESAMPLED, "decisions": result,
            "largest_true_loss_of_a_class": {"median": float(np.median(largest)), "worst": min(largest)}}


def main():
    torch.set_num_threads(1)
    test, recipes = load_data("cifar10").test, read_record("recipes")
    record = {name: measure(name, recipes[name]["runs"][:SEEDS], test.labels, test.classes)
              for name in RECIPES}
    write_record("gate", {"rules": vars(Rules()), "recipes": record})


if __name__ == "__main__":
    main()
