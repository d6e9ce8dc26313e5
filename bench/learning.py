"""Learning curves of the site and error rates of its promotion gate: the tables of docs/appendix/learning-history.md.

    python -m bench.learning drift            a group of writers that the base misreads, 200 labels, 5 seeds
    python -m bench.learning honest           share of 20 honest candidates that the gate rejects
    python -m bench.learning generations      each candidate is trained from the last one: accumulation of small losses
    python -m bench.learning poison           a rogue reviewer: 200 and 1,000 labels, 10 / 30 / 60 % wrong
    python -m bench.learning aim              detection rate of suspected label noise, for honest and wrong labels

Uses the recipe, export, evaluation sets and gate of a training run, without the database. `--base FOLDER` takes another
base model. MNIST is required. Training a candidate takes about half a minute on one core; `--keep FOLDER` stores the
candidates and reuses them, so that another gate is measured in seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digitsite.testing.writers import common_hands, draw_images, leaning_hands, turning_hands
from ml.data.mnist import Mnist, load_mnist
from ml.evaluation.datasets import EvalDataset, Role
from ml.evaluation.gate import (
    BEST_EVER_TOLERANCE,
    HOLDOUT,
    EvalResult,
    GateResult,
    evaluate_classifier,
    run_gate,
)
from ml.evaluation.gate_checks import paired_test
from ml.evaluation.gate_summary import summarize
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, KERAS_FILE
from ml.serving.classifier import Classifier, load_classifier
from ml.training.eval_sets import export_datasets, gate_datasets
from ml.training.export_pipeline import export_model
from ml.training.label_noise import find_label_noise
from ml.training.site_recipe import SITE, SiteData, build_site_sources
from ml.training.site_training import KerasFile, train

if TYPE_CHECKING:
    from collections.abc import Iterator

TEST_DIGITS = 2_000
SHARES = (0.1, 0.3, 0.6)
HONEST_PER_DIGIT = 400


@dataclass
class Setting:
    """State that all experiments share.

    Attributes:
        keras_file: Keras file of the champion.
        champion: Classifier of the champion.
        mnist: The MNIST data set.
        export_sets: Evaluation sets of an export, by name.
        frozen: Fixed data sets of the gate.
        frozen_results: Results of the champion on `frozen`, by name.
        keep: Folder in which candidates are stored, if any.
        best: Highest accuracy of any champion so far, by data set.
        trained: Keras file of the last candidate.
    """

    keras_file: bytes
    champion: Classifier
    mnist: Mnist
    export_sets: dict[str, EvalDataset]
    frozen: list[EvalDataset]
    frozen_results: dict[str, EvalResult]
    keep: Path | None
    best: dict[str, float] = field(default_factory=dict)
    trained: bytes = b""

    @classmethod
    def load(cls, base: Path, keep: Path | None) -> Setting:
        """Load a base model and MNIST."""
        mnist = load_mnist()
        export_sets = export_datasets(mnist)
        champion = load_classifier((base / BUNDLE_FILE).read_bytes())
        frozen = gate_datasets(export_sets)
        results = evaluate_classifier(champion, frozen)
        return cls((base / KERAS_FILE).read_bytes(), champion, mnist, export_sets, frozen, results, keep)

    def train(self, name: str, images: np.ndarray, labels: np.ndarray, seed: int = 1) -> tuple[Classifier, float]:
        """Train a candidate, or load it from `keep`.

        Args:
            name: Name of the file in `keep`.
            images: Training images of shape (N, 28, 28), uint8.
            labels: Labels of shape (N,), uint8.
            seed: Seed of the recipe.

        Returns:
            The candidate and the processor seconds of its training, 0 if it was loaded.
        """
        file = self.keep / f"{name}.bundle" if self.keep else None
        if file is not None and file.exists():
            self.trained = file.with_suffix(".keras").read_bytes()
            return load_classifier(file.read_bytes()), 0.0
        noise = find_label_noise(self.champion, images, labels, SITE.noise_thresholds)
        site = SiteData(images, labels, noise.contested)
        recipe = replace(SITE, seed=seed)
        sources = build_site_sources(recipe, self.mnist, site)
        started = time.process_time()
        model, _ = train(recipe, sources, self.export_sets["validation"], KerasFile(self.keras_file))
        seconds = time.process_time() - started
        exported = export_model(model, recipe.name, self.export_sets)
        if file is not None:
            file.with_suffix(".keras").write_bytes(exported.keras_file)
            file.write_bytes(exported.bundle)
        self.trained = exported.keras_file
        return load_classifier(exported.bundle), seconds

    def promote(self, candidate: Classifier) -> None:
        """Make the candidate that was trained last the champion."""
        self.champion, self.keras_file = candidate, self.trained
        self.frozen_results = evaluate_classifier(candidate, self.frozen)

    def run_gate(
        self,
        candidate: Classifier,
        learned: tuple[np.ndarray, np.ndarray],
        holdout: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> GateResult:
        """Run the gate.

        Args:
            candidate: Model to evaluate.
            learned: Images and labels that it was trained on.
            holdout: Images and labels of the site's holdout set, if any.
        """
        own = [EvalDataset(HOLDOUT, "Site holdout", *holdout, Role.HOLDOUT)] if holdout and len(holdout[1]) else []
        sets = [*self.frozen, *own]
        baseline = self.frozen_results | evaluate_classifier(self.champion, own)
        results = evaluate_classifier(candidate, sets)
        for name in BEST_EVER_TOLERANCE:
            self.best[name] = max(self.best.get(name, 0.0), baseline[name].metrics["accuracy"])
        best = {name: (accuracy, "the highest so far") for name, accuracy in self.best.items()}
        return run_gate(
            sets,
            baseline,
            results,
            best=best,
            labels=find_label_noise(self.champion, *learned, SITE.noise_thresholds).suspicions,
        )


def accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of correct predictions."""
    return float((classifier.logits(images).argmax(axis=1) == labels).mean())


def drift(setting: Setting, seeds: int) -> None:
    """Train on 200 labels of writers that the base misreads, with several seeds."""
    print("| seed | other digits before | after | error left | MNIST validation before | after | gate | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    remaining, changes = [], []
    for seed in range(1, seeds + 1):
        hands = leaning_hands(5, seed)
        images, labels = draw_images(hands, 200, seed)
        test_set = draw_images(hands, TEST_DIGITS, 1000 + seed)
        candidate, seconds = setting.train(f"drift-{seed}", images, labels, seed)
        before, after = accuracy(setting.champion, *test_set), accuracy(candidate, *test_set)
        validation = setting.export_sets["validation"]
        clean = [accuracy(model, validation.images, validation.labels) for model in (setting.champion, candidate)]
        verdict = setting.run_gate(candidate, (images, labels), draw_images(hands, 50, 2000 + seed))
        remaining.append((1 - after) / (1 - before))
        changes.append(clean[1] - clean[0])
        print(
            f"| {seed} | {before:.1%} | {after:.1%} | {remaining[-1]:.2f} | {clean[0]:.2%} | {clean[1]:.2%} | "
            f"{'passed' if verdict.passed else 'rejected'} | {seconds:.0f} |", flush=True,
        )  # fmt: skip
        for reason in verdict.reasons:
            print("  ", reason, flush=True)
    points = statistics.median(changes) * 100
    print(f"\nMedian: error left {statistics.median(remaining):.2f}, MNIST validation {points:+.2f} points")


def honest(setting: Setting, seeds: int) -> None:
    """Count honest candidates that the gate rejects."""
    rejected = 0
    hands = common_hands(5, 1)
    for seed in range(1, seeds + 1):
        images, labels = draw_images(hands, 200, seed)
        candidate, _ = setting.train(f"honest-{seed}", images, labels, 100 + seed)
        verdict = setting.run_gate(candidate, (images, labels), draw_images(hands, 50, 2000 + seed))
        rejected += not verdict.passed
        figures = [check for check in verdict.checks if check.name in ("validation", "distorted", "non_digits")]
        print(
            seed,
            *(f"{check.name} {-check.loss * 100:+.2f}" for check in figures),
            *verdict.reasons,
            sep="; ",
            flush=True,
        )
    print(f"\n{rejected} of {seeds} honest candidates rejected")


def generations(setting: Setting, count: int) -> None:
    """Train each candidate from the last one: 100 more labels of common writers each time, 25 more in the holdout."""
    print("| generation | MNIST validation | distorted | non-digits refused | other test digits | gate | summary |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    hands = common_hands(5, 1)
    images, labels = draw_images(hands, 100 * count, 5007)
    holdout, holdout_labels = draw_images(hands, 25 * count, 6007)
    test_set = draw_images(hands, TEST_DIGITS, 7007)
    for number in range(1, count + 1):
        learned = images[: 100 * number], labels[: 100 * number]
        candidate, _ = setting.train(f"generation-{number}", *learned, seed=number)
        verdict = setting.run_gate(candidate, learned, (holdout[: 25 * number], holdout_labels[: 25 * number]))
        figures = {name: result.metrics for name, result in evaluate_classifier(candidate, setting.frozen).items()}
        print(
            f"| {number} | {figures['validation']['accuracy']:.2%} | {figures['distorted']['accuracy']:.2%} | "
            f"{figures['non_digits']['refused']:.1%} | {accuracy(setting.champion, *test_set):.2%} → "
            f"{accuracy(candidate, *test_set):.2%} | {'passed' if verdict.passed else 'rejected'} | "
            f"{summarize(verdict.checks)[0]} |", flush=True,
        )  # fmt: skip
        for reason in verdict.reasons:
            print("  ", reason, flush=True)
        if verdict.passed:
            setting.promote(candidate)


def poison_cases() -> Iterator[tuple[int, str, float]]:
    """Yield number of labels, kind of error (`random` or `aimed`) and share of wrong labels."""
    for n in (200, 1000):
        for how in ("random", "aimed"):
            for share in SHARES:
                yield n, how, share


def poisoned(labels: np.ndarray, how: str, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return labels with errors of a rogue reviewer; `aimed` swaps that share of the labels 1 and 7."""
    wrong = labels.copy()
    if how == "aimed":
        hit = np.isin(labels, (1, 7)) & (rng.random(len(labels)) < share)
        wrong[hit] = 8 - labels[hit]
    else:
        hit = rng.random(len(labels)) < share
        wrong[hit] = (labels[hit] + rng.integers(1, 10, hit.sum())) % 10
    return wrong


def poison(setting: Setting, seeds: int) -> None:
    """Train on poisoned labels and report the damage and the gate's decision."""
    print(
        "| hands | labels | wrong | holdout | honest digits before | after | worst digit (loss ± noise) | gate | ends |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for group, hands_of in (("common", common_hands), ("leaning", leaning_hands)):
        for n, how, share in poison_cases():
            hands = hands_of(5, 1)
            rng = np.random.default_rng([seeds, n])
            images, correct_labels = draw_images(hands, n, 7)
            labels = poisoned(correct_labels, how, share, rng)
            candidate, _ = setting.train(f"poison-{group}-{n}-{how}-{share:.0%}", images, labels, 1)
            honest_set = draw_images(hands, HONEST_PER_DIGIT * 10, 3007)
            before, after = accuracy(setting.champion, *honest_set), accuracy(candidate, *honest_set)
            worst = _worst_digit(setting.champion, candidate, *honest_set)
            holdout, correct_holdout = draw_images(hands, n // 4, 4007)
            for name, holdout_labels in (
                ("honest", correct_holdout),
                ("poisoned", poisoned(correct_holdout, how, share, rng)),
            ):
                verdict = setting.run_gate(candidate, (images, labels), (holdout, holdout_labels))
                harmless = worst[1] <= 2.5 * worst[2]
                ends = "rejected" if not verdict.passed else "harmless" if harmless else "HARM"
                gate = "passed" if verdict.passed else "rejected"
                print(
                    f"| {group} | {n} | {share:.0%} {how} | {name} | {before:.1%} | {after:.1%} | {worst[0]}: "
                    f"{worst[1] * 100:+.1f} ± {worst[2] * 100:.1f} | {gate} | {ends} |", flush=True,
                )  # fmt: skip


def aim(champion: Classifier, groups: int) -> None:
    """Count label sets that are reported as suspected noise; trains no model.

    The seeds were not used to choose the thresholds.
    """
    print("| writers | labels | honest | aimed 10 / 30 / 60 % | one digit, all of it | random 10 / 30 / 60 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for group, hands_of in (("leaning", leaning_hands), ("turning", turning_hands), ("common", common_hands)):
        for n in (200, 1000):
            stopped: Counter[tuple[str, float]] = Counter()
            for seed in range(301, 301 + groups):
                images, correct_labels = draw_images(hands_of(5, seed), n, 7)
                all_ones = np.where(correct_labels == 1, 7, correct_labels).astype(np.uint8)
                cases = {("honest", 0.0): correct_labels, ("one", 1.0): all_ones}
                for how in ("aimed", "random"):
                    for share in SHARES:
                        cases[how, share] = poisoned(correct_labels, how, share, np.random.default_rng([seed, n]))
                for case, labels in cases.items():
                    noise = find_label_noise(champion, images, labels, SITE.noise_thresholds)
                    stopped[case] += bool(noise.suspicions)
            aimed, at_random = (" / ".join(str(stopped[how, share]) for share in SHARES) for how in ("aimed", "random"))
            one_digit, honest_sets = stopped["one", 1.0], stopped["honest", 0.0]
            print(f"| {group} | {n} | {honest_sets} of {groups} | {aimed} | {one_digit} | {at_random} |", flush=True)


def _worst_digit(
    champion: Classifier, candidate: Classifier, images: np.ndarray, labels: np.ndarray
) -> tuple[int, float, float]:
    """Return the digit with the largest loss relative to its standard error, the loss and the standard error."""
    right = [model.logits(images).argmax(axis=1) == labels for model in (champion, candidate)]
    difference = right[0].astype(float) - right[1]
    losses = []
    for digit in range(10):
        rows = labels == digit
        check = paired_test("", "", difference[rows], np.arange(rows.sum()), 0, shares=(right[0][rows], right[1][rows]))
        losses.append((check.loss / check.error, digit, check.loss, check.error))
    return max(losses)[1:]


# Each with its default number of repetitions.
EXPERIMENTS = {"drift": (drift, 5), "honest": (honest, 20), "generations": (generations, 6), "poison": (poison, 1)}


def main() -> None:
    """Run the experiment of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=(*EXPERIMENTS, "aim"))
    parser.add_argument("--base", type=Path, default=BASE_FOLDER)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--keep", type=Path, help="an existing folder")
    arguments = parser.parse_args()
    if arguments.experiment == "aim":
        aim(load_classifier((arguments.base / BUNDLE_FILE).read_bytes()), arguments.seeds or 10)
        return
    setting = Setting.load(arguments.base, arguments.keep)
    experiment, seeds = EXPERIMENTS[arguments.experiment]
    experiment(setting, arguments.seeds or seeds)


if __name__ == "__main__":
    main()
