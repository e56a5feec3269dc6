"""Every figure of the frozen run once more, from what it predicted and from the rows that it was given.

Plain numpy and arithmetic; nothing of edgedistill is imported, so that its mistakes are not repeated here.
"""

from __future__ import annotations

import json
from functools import cached_property
from itertools import pairwise
from math import comb, log10, sqrt

import numpy as np
from safetensors.numpy import load_file

RESAMPLES = 2000
Z = 1.959963984540054
"""Of a 95% interval."""


class Recount:
    """The figures of one run by place, as `results.json` has them.

    Args:
        run: the run's folder.
        sets: the raw rows of each data set, by name.
        recipe: what was run.
    """

    def __init__(self, run, sets, recipe):
        self.run, self.recipe = run, recipe
        self.labels = sorted({row["label"] for row in sets["train"]})
        self.sets = sets
        self.ids = {name: [self._id(row) for row in rows] for name, rows in sets.items()}
        self.rounds = [round_["id"] for round_ in recipe["rounds"]]

    def _id(self, row):
        label = row.get("label")
        return self.labels.index(label) if label in self.labels else -100

    def step(self, name):
        (folder,) = self.run.glob(f"steps/[0-9][0-9]-{name}")
        return folder

    def logits(self, model, split):
        (file,) = self.run.glob(f"steps/[0-9][0-9]-*-{model}/{split}.safetensors")
        return load_file(file)["value.logits"]

    def says(self, model, split="test"):
        return self.logits(model, split).argmax(1)

    def right(self, model, split="test"):
        return (self.says(model, split) == self.ids[split]).astype(float)

    @cached_property
    def expected(self):
        """By place, what must stand there."""
        found: dict[str, object] = {}
        found |= dict(_leaves("results.teacher", self._model("teacher")))
        before = "teacher"
        for number, round_ in enumerate(self.rounds):
            found |= dict(_leaves(f"results.rounds.{number}", self._round(round_, before)))
            before = round_
        candidates = [self._candidate(round_, precision) for round_ in self.rounds for precision in ("fp32", "int8")]
        self._front(candidates)
        found |= dict(_leaves("results.candidates", candidates))
        fitting = [candidate for candidate in candidates if candidate["within_limits"]]
        found["results.chosen"] = min(fitting, key=lambda candidate: candidate["file_bytes"])["id"] if fitting else None
        best = max(candidates, key=lambda candidate: candidate["figures"][2]["value"])["id"]
        found |= dict(_leaves("results.loss_budget", self._budget(found["results.chosen"] or best)))
        judgements = [self._judgement(round_, candidates) for round_ in self.rounds]
        found |= dict(_leaves("results.stop.judgements", judgements))
        found |= {"results.stop.round": self.rounds[-1], "results.stop.early": judgements[-1]["stop"]}
        names = ("train", "validation", "test", "unlabeled")
        found |= {f"results.data.examples.{name}": len(self.sets[name]) for name in names}
        found["results.data.labels"] = len(self.labels)
        found |= dict(_leaves("results.flips", self._flips()))
        found |= dict(_leaves("results.errors", self._texts()))
        return found

    def _model(self, name):
        """What is told of the teacher and of a student alike."""
        right = self.right(name)
        training = json.loads((self.step(name) / "record.json").read_text())["epochs"]
        kept = max(epoch["metric"] for epoch in training if epoch["stage"] == training[-1]["stage"])
        validation = self.right(name, "validation").mean()
        assert abs(kept - validation) < 1e-9, f"{name}'s weights are not those of its best epoch"
        weights = load_file(self.step(name) / "model" / "model.safetensors")
        return {
            "parameters": sum(value.size for value in weights.values()),
            "figures": [
                self._accuracy(right, "test"),
                self._f1(self.says(name), "test"),
                self._accuracy(self.right(name, "validation"), "validation"),
                self._f1(self.says(name, "validation"), "validation"),
            ],
            "calibration_error": calibration_error(self.logits(name, "test"), np.array(self.ids["test"])),
            "ood": {ood_name: self._ood(name, ood_name) for ood_name in self.recipe["evaluate"]["ood"]},
        }

    def _accuracy(self, right, split):
        low, high = wilson(int(right.sum()), len(right))
        facts = {"metric": "accuracy", "direction": "higher", "examples": len(right), "split": split}
        return {**facts, "value": right.mean(), "low": low, "high": high}

    def _f1(self, said, split, ids=None):
        ids = np.array(self.ids[split]) if ids is None else ids
        generator, draws = np.random.default_rng(0), []
        for _ in range(RESAMPLES):
            drawn = generator.integers(0, len(ids), len(ids))
            draws.append(f1(said[drawn], ids[drawn]))
        low, high = percentiles(draws)
        facts = {"metric": "f1_macro", "direction": "higher", "examples": len(ids), "split": split}
        return {**facts, "value": f1(said, ids), "low": low, "high": high}

    def _ood(self, model, name):
        logits, ids = self.logits(model, f"ood-{name}"), np.array(self.ids[name])
        known = ids >= 0
        found: dict[str, object] = {
            "examples": len(ids),
            "out_of_scope": int((~known).sum()),
            "calibration_error": None,
        }
        if known.any():
            said = logits[known].argmax(1)
            found["figures"] = [self._accuracy(said == ids[known], name), self._f1(said, name, ids[known])]
            found["calibration_error"] = calibration_error(logits[known], ids[known])
        inside, outside = confidence(self.logits(model, "test")), confidence(logits[~known])
        pairs = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
        generator, draws = np.random.default_rng(0), []
        n, m = len(inside), len(outside)
        for _ in range(RESAMPLES):
            first = generator.multinomial(n, np.full(n, 1 / n))
            second = generator.multinomial(m, np.full(m, 1 / m))
            draws.append(first @ pairs @ second / (n * m))
        low, high = percentiles(draws)
        return {**found, "auroc": {"value": pairs.mean(), "low": low, "high": high}}

    def _round(self, name, before):
        right, teacher = self.right(name), self.right("teacher")
        control = self.right(f"{name}-control")
        gain, drop = right - control, teacher - right
        own, given, earlier = self.says(name), self.says("teacher"), self.right(before)
        trials = self._trials(name)
        best = max(trials, key=lambda trial: trial["value"]) if trials else {"teacher": ["teacher"]}
        return {
            **self._model(name),
            "id": name,
            "teacher": " + ".join(best["teacher"]),
            **({"teacher_trials": trials} if trials else {}),
            "drop": paired(drop, "test"),
            "agreement_with_teacher": (own == given).mean(),
            "control": self._accuracy(control, "test"),
            "gain": paired(gain, "test"),
            "errors": {
                "corrected": int(((earlier == 0) & (right == 1)).sum()),
                "introduced": int(((earlier == 1) & (right == 0)).sum()),
                "inherited": int(((right == 0) & (own == given)).sum()),
            },
            "seeds": [
                {
                    "seed": seed,
                    "value": self.right(f"{name}{arm}").mean(),
                    "control": self.right(f"{name}-control{arm}").mean(),
                }
                for seed, arm in [(self.recipe["seed"], ""), *((seed, f"-seed{seed}") for seed in self.recipe["seeds"])]
            ],
        }

    def _trials(self, name):
        """Each teacher that was tried, and the best validation metric of its trial."""
        given = next(round_ for round_ in self.recipe["rounds"] if round_["id"] == name).get("teacher")
        if given is None:
            return []
        found = []
        for number, option in enumerate(given["choose"], start=1):
            epochs = json.loads((self.step(f"{name}-trial-{number}") / "record.json").read_text())["epochs"]
            teachers = [option] if isinstance(option, str) else option
            found.append({"teacher": teachers, "value": max(epoch["metric"] for epoch in epochs)})
        return found

    def _candidate(self, name, precision):
        file = {"fp32": "model.npz", "int8": "model_int8.npz"}[precision]
        predicted = load_file(self.run / "predictions" / "test" / f"{name}-plain-{precision}-plain-runtime.safetensors")
        device, torch = self._on_validation(name, precision)
        batched = self._on_validation(name, precision, "validation_batched")[0]
        drop = paired(self.right("teacher", "validation") - (device.argmax(1) == self.ids["validation"]), "validation")
        right = predicted["value.logits"].argmax(1) == self.ids["test"]
        own, other = log_softmax(torch), log_softmax(device)
        agreement = (device.argmax(1) == torch.argmax(1)).mean()
        limits = self.recipe["select"]["limits"]
        size = (self.run / "models" / name / "plain" / file).stat().st_size
        met = bool(drop["value"] <= limits["accuracy_drop"] + 1e-12 and size <= 1e6 * limits["file_mb"])
        verified = bool(agreement >= self.recipe["verify"]["min_agreement"])
        return {
            "id": f"{name}/plain/{precision}/plain-runtime",
            "model": name,
            "precision": precision,
            "file": f"models/{name}/plain/{file}",
            "file_bytes": size,
            "tokenizer_bytes": (self.run / "models" / name / "tokenizer.json").stat().st_size,
            "figures": [
                self._accuracy(right, "test"),
                self._f1(predicted["value.logits"].argmax(1), "test"),
                self._accuracy(device.argmax(1) == self.ids["validation"], "validation"),
                self._f1(device.argmax(1), "validation"),
            ],
            "drop": drop,
            "agreement_with_student": agreement,
            "agreement_batched": (batched.argmax(1) == torch.argmax(1)).mean(),
            "validation_batched": (batched.argmax(1) == self.ids["validation"]).mean(),
            "max_abs_diff": np.abs(device - torch).max(),
            "mean_abs_diff": np.abs(device - torch).mean(),
            "mean_divergence": (np.exp(own) * (own - other)).sum(1).mean(),
            "within_limits": met and verified,
            "on_pareto_front": verified,
            **self._times(f"{name}/plain/{precision}/plain-runtime"),
            **({"speed_up": self._speed_up(name)} if precision == "int8" else {}),
        }

    def _on_validation(self, name, precision, file="validation"):
        verified = self.step(f"verify-{name}-plain-{precision}-plain-runtime") / f"{file}.safetensors"
        return load_file(verified)["value.logits"], self.logits(name, "validation")

    def _times(self, candidate):
        seen = json.loads((self.run / "measurements.json").read_text())["candidates"][candidate]
        samples = np.sort(seen["samples_ms"])
        latency: dict[str, object] = {f"p{q}": float(np.percentile(samples, q)) for q in (50, 90, 95, 99)}
        latency["runs"] = len(samples)
        assert len(samples) >= 299
        for q in (50, 95):
            places = order_statistics(len(samples), q / 100)
            latency[f"p{q}_ci"] = [float(samples[place]) for place in places]
        return {"latency_ms": latency, "throughput_per_s": 1e3 * len(samples) / samples.sum()}

    def _budget(self, chosen):
        """From the teacher over the rounds and the fp32 file to this one."""
        model, _, precision, _ = chosen.split("/")
        said = {name: self.says(name) for name in ("teacher", *self.rounds[: self.rounds.index(model) + 1])}
        for kind in ("fp32", precision):
            file = self.run / "predictions" / "test" / f"{model}-plain-{kind}-plain-runtime.safetensors"
            said[f"{model}/plain/{kind}/plain-runtime"] = load_file(file)["value.logits"].argmax(1)
        right = {name: (answers == self.ids["test"]).astype(float) for name, answers in said.items()}
        hops = [
            {
                "before": before,
                "after": after,
                "figure": self._accuracy(right[after], "test"),
                "drop": paired(right[before] - right[after], "test"),
                "agreement": (said[before] == said[after]).mean(),
                "lost": int((right[before] > right[after]).sum()),
                "won": int((right[before] < right[after]).sum()),
            }
            for before, after in pairwise(said)
        ]
        whole = paired(right["teacher"] - right[chosen], "test")
        return {"candidate": chosen, "start": self._accuracy(right["teacher"], "test"), "hops": hops, "drop": whole}

    def _speed_up(self, name):
        """Of int8 over fp32, with the passes resampled."""
        measured = json.loads((self.run / "measurements.json").read_text())["candidates"]
        fp32, int8 = (
            np.split(np.array(seen["samples_ms"]), np.cumsum(seen["passes"])[:-1])
            for seen in (measured[f"{name}/plain/{precision}/plain-runtime"] for precision in ("fp32", "int8"))
        )

        def median(passes, counts):
            drawn = [runs for runs, count in zip(passes, counts, strict=True) for _ in range(count)]
            values = np.sort(np.concatenate(drawn))
            return float(values[(len(values) - 1) // 2])

        drawn = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), RESAMPLES)
        low, high = percentiles([median(fp32, counts) / median(int8, counts) for counts in drawn])
        value = np.median(np.concatenate(fp32)) / np.median(np.concatenate(int8))
        return {"value": float(value), "low": low, "high": high, "over": f"{name}/plain/fp32/plain-runtime"}

    def _front(self, candidates):
        """Mark those that no other beats in accuracy on validation, time and size at once; what disagrees with its
        model is not among them."""

        def figures(candidate):
            return np.array(
                [-candidate["figures"][2]["value"], candidate["latency_ms"]["p50"], candidate["file_bytes"]]
            )

        verified = [candidate for candidate in candidates if candidate["on_pareto_front"]]
        for candidate in verified:
            others = [figures(other) for other in verified if other is not candidate]
            own = figures(candidate)
            candidate["on_pareto_front"] = not any((other <= own).all() and (other < own).any() for other in others)

    def _judgement(self, name, candidates):
        drops = self.right("teacher", "validation") - self.right(name, "validation")
        drop = paired(drops, "validation")
        rule, generator = self.recipe["stop"]["when"]["accuracy_drop"], np.random.default_rng(0)
        draws = [drops[generator.integers(0, len(drops), len(drops))].mean() for _ in range(RESAMPLES)]
        return {
            "round": name,
            "drop": drop,
            "real": bool(drop["p"] < 0.05 and drops.mean() > 0),
            # What disagrees with its model is never shipped, so it ends no run.
            "within_limits": [
                candidate["id"]
                for candidate in candidates
                if candidate["model"] == name
                and candidate["agreement_with_student"] >= self.recipe["verify"]["min_agreement"]
                and candidate["drop"]["value"] <= self.recipe["select"]["limits"]["accuracy_drop"]
            ],
            "stop": bool(np.percentile(draws, 5) > rule),
        }

    def _flips(self):
        found = {}
        for name in self.rounds:
            for precision in ("fp32", "int8"):
                device, torch = (logits.argmax(1) for logits in self._on_validation(name, precision))
                found[f"{name}/plain/{precision}/plain-runtime"] = [
                    {
                        "text": self.sets["validation"][item]["text"],
                        "reference": self.sets["validation"][item]["label"],
                        "model": self.labels[torch[item]],
                        "device": self.labels[device[item]],
                    }
                    for item in np.flatnonzero(device != torch)
                ]
        return found

    def _texts(self):
        found, before = {}, "teacher"
        for name in self.rounds:
            earlier, right = self.right(before), self.right(name)
            own, given = self.says(name), self.says("teacher")
            kinds = {
                "corrected": (earlier == 0) & (right == 1),
                "introduced": (earlier == 1) & (right == 0),
                "inherited": (right == 0) & (own == given),
            }
            found[name] = {
                kind: [
                    {
                        "text": self.sets["test"][item]["text"],
                        "reference": self.sets["test"][item]["label"],
                        "teacher": self.labels[given[item]],
                        "model": self.labels[own[item]],
                    }
                    for item in np.flatnonzero(chosen)[:20]
                ]
                for kind, chosen in kinds.items()
            }
            before = name
        return found


def _leaves(place, value):
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(f"{place}.{key}", below)
    elif isinstance(value, list | tuple):
        for number, below in enumerate(value):
            yield from _leaves(f"{place}.{number}", below)
    else:
        yield place, value


def leaves(place, value):
    """Places and values below a tree, as here and in `results.json`."""
    return dict(_leaves(place, value))


def log_softmax(logits):
    shifted = logits.astype(float) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def confidence(logits):
    return log_softmax(logits).max(1)


def calibration_error(logits, ids):
    """Fifteen bins of equal width; by how much their mean confidence and their accuracy differ, weighted by size."""
    sure, right = np.exp(confidence(logits)), logits.argmax(1) == ids
    error = 0.0
    for low in range(15):
        inside = (sure >= low / 15) & ((sure < (low + 1) / 15) | (low == 14))
        if inside.any():
            error += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
    return error


def wilson(hits, n):
    """Wilson 1927."""
    share = hits / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return [middle - half, middle + half]


def resampled_mean(values):
    """The middle 95% of the means of 2000 resamples."""
    generator = np.random.default_rng(0)
    return percentiles([values[generator.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)])


def paired(differences, split):
    """A mean difference on the same examples; its p is McNemar's."""
    low, high = resampled_mean(differences)
    p = sign_test(int((differences > 0).sum()), int((differences < 0).sum()))
    return {"value": differences.mean(), "low": low, "high": high, "p": p, "split": split}


def f1(said, ids):
    """Mean over the classes that occur of 2 hits / (said + right)."""
    found = []
    for label in np.union1d(said, ids):
        found.append(2 * np.sum((said == label) & (ids == label)) / (np.sum(said == label) + np.sum(ids == label)))
    return float(np.mean(found))


def percentiles(draws):
    return [float(bound) for bound in np.percentile(draws, [2.5, 97.5])]


def sign_test(better, worse):
    """McNemar's exact test: the chance of a split at least so uneven of as many coins."""
    n = better + worse
    if n == 0:
        return 1.0
    tail = sum(comb(n, k) for k in range(min(better, worse) + 1)) / 2**n
    return min(1.0, 2 * tail)


def order_statistics(n, share):
    """Places in the ordered sample that enclose a quantile in 95% of the cases (Conover 1999)."""
    logs = [log10(comb(n, k)) + k * log10(share) + (n - k) * log10(1 - share) for k in range(n + 1)]
    reached = np.cumsum([10**log for log in logs])
    low, high = (int(np.searchsorted(reached, level)) for level in (0.025, 0.975))
    return max(0, low - 1), min(n - 1, high)
