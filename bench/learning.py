"""How well the site learns, and what its gate lets through. Prints the tables of docs/learning.md.

    python -m bench.learning drift            a group of writers that the base misreads, 200 labels, 5 seeds
    python -m bench.learning honest           20 honest candidates, other seeds, before the gate
    python -m bench.learning generations      each candidate goes on from the last: do small losses add up?
    python -m bench.learning poison           a rogue reviewer: 200 and 1,000 labels, 10 / 30 / 60 % wrong
    python -m bench.learning aim              how often labels alone stop a version, honest and wrong ones

Everything but the database: the same recipe, sealing, frozen sets and gate as a run of the site. `--base FOLDER` takes
another base model than the shipped one. MNIST is needed; each candidate takes about half a minute on one core, so
`--keep FOLDER` keeps them there and trains no candidate twice: another gate is measured in seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from digitsite.testing.writers import common_hands, leaning_hands, pictures, turning_hands
from ml.data.mnist import Mnist, load_mnist
from ml.evaluation.gate import (
    BEST_EVER_TOLERANCE,
    HOLDOUT,
    HOLDOUT_TOLERANCE,
    EvalDataset,
    EvalResult,
    GateResult,
    evaluate_dataset,
    run_gate,
)
from ml.evaluation.gate_checks import paired_test
from ml.evaluation.gate_summary import summarize
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE, KERAS_FILE
from ml.serving.classifier import Classifier, load_classifier
from ml.serving.export import load_keras
from ml.training.eval_sets import gate_datasets, site_evaluation_sets
from ml.training.export_pipeline import EvaluationSets, export_model
from ml.training.label_noise import contested_rows, find_suspected_noise
from ml.training.loop import fit, make_deterministic
from ml.training.site_recipe import SITE, SiteData, build_site_sources, interpolate_weights

OTHERS = 2_000
SHARES = (0.1, 0.3, 0.6)
HONEST_PER_DIGIT = 400


@dataclass
class Setting:
    """What all experiments share: the champion and the frozen sets; where candidates are kept, if they are.

    `best` holds the highest accuracies of any champion so far, `trained` the Keras file of the last candidate.
    """

    keras_file: bytes
    champion: Classifier
    mnist: Mnist
    checks: EvaluationSets
    frozen: list[EvalDataset]
    frozen_answers: dict[str, EvalResult]
    keep: Path | None
    best: dict[str, float] = field(default_factory=dict)
    trained: bytes = b""

    @classmethod
    def load(cls, base: Path, keep: Path | None) -> Setting:
        mnist = load_mnist()
        checks = site_evaluation_sets(mnist)
        champion = load_classifier((base / BUNDLE_FILE).read_bytes())
        frozen = gate_datasets(checks)
        said = {one.name: ask(champion, one) for one in frozen}
        return cls((base / KERAS_FILE).read_bytes(), champion, mnist, checks, frozen, said, keep)

    def train(self, name: str, images: np.ndarray, labels: np.ndarray, seed: int = 1) -> tuple[Classifier, float]:
        """A candidate that learned these labels, and the processor seconds of its training (0: it was kept)."""
        file = self.keep / f"{name}.bundle" if self.keep else None
        if file is not None and file.exists():
            self.trained = file.with_suffix(".keras").read_bytes()
            return load_classifier(file.read_bytes()), 0.0
        site = SiteData(images, labels, contested_rows(self.champion, images, labels, SITE.noise_thresholds))
        recipe = replace(SITE, seed=seed)
        parts = build_site_sources(recipe, self.mnist, site)
        make_deterministic(seed)
        model = load_keras(self.keras_file)
        before = model.get_weights()
        started = time.process_time()
        model, _ = fit(recipe, parts, self.checks.validation, model=model)
        seconds = time.process_time() - started
        model.set_weights(interpolate_weights(before, model.get_weights(), SITE.interpolation))
        sealed = export_model(model, recipe.name, self.checks)
        if file is not None:
            file.with_suffix(".keras").write_bytes(sealed.keras_file)
            file.write_bytes(sealed.bundle)
        self.trained = sealed.keras_file
        return load_classifier(sealed.bundle), seconds

    def promote(self, candidate: Classifier) -> None:
        """The candidate that was trained last is the champion from now on."""
        self.champion, self.keras_file = candidate, self.trained
        self.frozen_answers = {one.name: ask(candidate, one) for one in self.frozen}

    def judge(
        self,
        candidate: Classifier,
        learned: tuple[np.ndarray, np.ndarray],
        holdout: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> GateResult:
        sets = list(self.frozen)
        if holdout is not None and len(holdout[1]):
            sets.append(
                EvalDataset(
                    HOLDOUT, "Site holdout", *holdout,
                    tolerance=HOLDOUT_TOLERANCE, digit_tolerance=HOLDOUT_TOLERANCE, calibration=False, frozen=False,
                )
            )  # fmt: skip
        theirs = {one.name: self.frozen_answers.get(one.name) or ask(self.champion, one) for one in sets}
        ours = {one.name: ask(candidate, one) for one in sets}
        for name in BEST_EVER_TOLERANCE:
            self.best[name] = max(self.best.get(name, 0.0), theirs[name].metrics["accuracy"])
        best = {name: (accuracy, "the best so far") for name, accuracy in self.best.items()}
        return run_gate(
            sets, theirs, ours, best=best, labels=find_suspected_noise(self.champion, *learned, SITE.noise_thresholds)
        )


def ask(classifier: Classifier, one: EvalDataset) -> EvalResult:
    return evaluate_dataset(classifier.logits(one.images), one.labels, classifier.manifest)


def accuracy(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> float:
    return float((classifier.logits(images).argmax(axis=1) == labels).mean())


def drift(setting: Setting, seeds: int) -> None:
    print("| seed | other digits before | after | error left | MNIST validation before | after | gate | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    left, lost = [], []
    for seed in range(1, seeds + 1):
        hands = leaning_hands(5, seed)
        images, labels = pictures(hands, 200, seed)
        others = pictures(hands, OTHERS, 1000 + seed)
        candidate, seconds = setting.train(f"drift-{seed}", images, labels, seed)
        before, after = accuracy(setting.champion, *others), accuracy(candidate, *others)
        clean = [accuracy(one, *setting.checks.validation) for one in (setting.champion, candidate)]
        verdict = setting.judge(candidate, (images, labels), pictures(hands, 50, 2000 + seed))
        left.append((1 - after) / (1 - before))
        lost.append(clean[1] - clean[0])
        print(
            f"| {seed} | {before:.1%} | {after:.1%} | {left[-1]:.2f} | {clean[0]:.2%} | {clean[1]:.2%} | "
            f"{'passed' if verdict.passed else 'refused'} | {seconds:.0f} |", flush=True,
        )  # fmt: skip
        for reason in verdict.reasons:
            print("  ", reason, flush=True)
    points = statistics.median(lost) * 100
    print(f"\nMedian: error left {statistics.median(left):.2f}, MNIST validation {points:+.2f} points")


def honest(setting: Setting, seeds: int) -> None:
    refused = 0
    hands = common_hands(5, 1)
    for seed in range(1, seeds + 1):
        images, labels = pictures(hands, 200, seed)
        candidate, _ = setting.train(f"honest-{seed}", images, labels, 100 + seed)
        verdict = setting.judge(candidate, (images, labels), pictures(hands, 50, 2000 + seed))
        refused += not verdict.passed
        figures = [check for check in verdict.checks if check.name in ("validation", "distorted", "non_digits")]
        print(seed, *(f"{one.name} {-one.loss * 100:+.2f}" for one in figures), *verdict.reasons, sep="; ", flush=True)
    print(f"\n{refused} of {seeds} honest candidates refused")


def generations(setting: Setting, count: int) -> None:
    """Common writers, who are read well anyway: 100 more labels each time, a quarter as many in the holdout."""
    print("| generation | MNIST validation | distorted | non-digits refused | their other digits | gate | said |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    hands = common_hands(5, 1)
    images, labels = pictures(hands, 100 * count, 5007)
    held, held_labels = pictures(hands, 25 * count, 6007)
    others = pictures(hands, OTHERS, 7007)
    for number in range(1, count + 1):
        learned = images[: 100 * number], labels[: 100 * number]
        candidate, _ = setting.train(f"generation-{number}", *learned, seed=number)
        verdict = setting.judge(candidate, learned, (held[: 25 * number], held_labels[: 25 * number]))
        found = {one.name: ask(candidate, one).metrics for one in setting.frozen}
        print(
            f"| {number} | {found['validation']['accuracy']:.2%} | {found['distorted']['accuracy']:.2%} | "
            f"{found['non_digits']['refused']:.1%} | {accuracy(setting.champion, *others):.2%} → "
            f"{accuracy(candidate, *others):.2%} | {'passed' if verdict.passed else 'refused'} | "
            f"{summarize(verdict.checks)[0]} |", flush=True,
        )  # fmt: skip
        for reason in verdict.reasons:
            print("  ", reason, flush=True)
        if verdict.passed:
            setting.promote(candidate)


def poison_cases() -> Iterator[tuple[int, str, float]]:
    for n in (200, 1000):
        for how in ("random", "aimed"):
            for share in SHARES:
                yield n, how, share


def poisoned(labels: np.ndarray, how: str, share: float, rng: np.random.Generator) -> np.ndarray:
    """Labels as a rogue reviewer gives them. Aimed: that share of the 1s is called 7 and of the 7s 1."""
    wrong = labels.copy()
    if how == "aimed":
        hit = np.isin(labels, (1, 7)) & (rng.random(len(labels)) < share)
        wrong[hit] = 8 - labels[hit]
    else:
        hit = rng.random(len(labels)) < share
        wrong[hit] = (labels[hit] + rng.integers(1, 10, hit.sum())) % 10
    return wrong


def poison(setting: Setting, seeds: int) -> None:
    print(
        "| hands | labels | wrong | holdout | honest digits before | after | worst digit (loss ± noise) | gate | ends |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for group, hands_of in (("common", common_hands), ("leaning", leaning_hands)):
        for n, how, share in poison_cases():
            hands = hands_of(5, 1)
            rng = np.random.default_rng([seeds, n])
            images, truth = pictures(hands, n, 7)
            given = poisoned(truth, how, share, rng)
            candidate, _ = setting.train(f"poison-{group}-{n}-{how}-{share:.0%}", images, given, 1)
            honest_set = pictures(hands, HONEST_PER_DIGIT * 10, 3007)
            before, after = accuracy(setting.champion, *honest_set), accuracy(candidate, *honest_set)
            worst = _worst_digit(setting.champion, candidate, *honest_set)
            held, held_truth = pictures(hands, n // 4, 4007)
            for name, held_labels in (("honest", held_truth), ("poisoned", poisoned(held_truth, how, share, rng))):
                verdict = setting.judge(candidate, (images, given), (held, held_labels))
                harmless = worst[1] <= 2.5 * worst[2]
                ends = "refused" if not verdict.passed else "harmless" if harmless else "HARM"
                gate = "passed" if verdict.passed else "refused"
                print(
                    f"| {group} | {n} | {share:.0%} {how} | {name} | {before:.1%} | {after:.1%} | {worst[0]}: "
                    f"{worst[1] * 100:+.1f} ± {worst[2] * 100:.1f} | {gate} | {ends} |", flush=True,
                )  # fmt: skip


def aim(champion: Classifier, groups: int) -> None:
    """Trains nothing. The groups' seeds were not used when the thresholds were chosen."""
    print("| writers | labels | honest | aimed 10 / 30 / 60 % | one digit, all of it | random 10 / 30 / 60 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for group, hands_of in (("leaning", leaning_hands), ("turning", turning_hands), ("common", common_hands)):
        for n in (200, 1000):
            stopped: Counter[tuple[str, float]] = Counter()
            for seed in range(301, 301 + groups):
                images, truth = pictures(hands_of(5, seed), n, 7)
                cases = {("honest", 0.0): truth, ("one", 1.0): np.where(truth == 1, 7, truth).astype(np.uint8)}
                for how in ("aimed", "random"):
                    for share in SHARES:
                        cases[how, share] = poisoned(truth, how, share, np.random.default_rng([seed, n]))
                for case, labels in cases.items():
                    stopped[case] += bool(find_suspected_noise(champion, images, labels, SITE.noise_thresholds))
            aimed, at_random = (" / ".join(str(stopped[how, share]) for share in SHARES) for how in ("aimed", "random"))
            one, honest_ones = stopped["one", 1.0], stopped["honest", 0.0]
            print(f"| {group} | {n} | {honest_ones} of {groups} | {aimed} | {one} | {at_random} |", flush=True)


def _worst_digit(
    champion: Classifier, candidate: Classifier, images: np.ndarray, labels: np.ndarray
) -> tuple[int, float, float]:
    """The digit that lost most beyond noise: digit, loss, standard error."""
    right = [one.logits(images).argmax(axis=1) == labels for one in (champion, candidate)]
    difference = right[0].astype(float) - right[1]
    found = []
    for digit in range(10):
        rows = labels == digit
        check = paired_test("", "", difference[rows], np.arange(rows.sum()), 0, shares=(right[0][rows], right[1][rows]))
        found.append((check.loss / check.error, digit, check.loss, check.error))
    return max(found)[1:]


# Each with how often it is repeated.
EXPERIMENTS = {"drift": (drift, 5), "honest": (honest, 20), "generations": (generations, 6), "poison": (poison, 1)}


def main() -> None:
    """See the module."""
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
