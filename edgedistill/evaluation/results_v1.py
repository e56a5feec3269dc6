"""Reads `results.json` of schema 1, which had one higher-is-better metric and one machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping

RESULTS_V1 = "edgedistill/results/1"
_HOST = "h1"

Json = dict[str, object]


def lift_results(old: Mapping[str, object]) -> Json:
    """The same results in schema 2.

    Raises:
        KeyError, TypeError, ValueError: it does not follow schema 1.
    """
    metric = str(old["metric"])
    content: Json = {**old, "schema": "edgedistill/results/2", "direction": "higher"}
    data: Json = dict(_object(content.pop("data", {})))
    rows = _object(data.pop("rows", {}))
    content["data"] = {"task": "unknown", **data, "examples": rows}
    content["hosts"] = {_HOST: content.pop("environment", {})}
    lift = _Lift(metric, {split: count for split, count in rows.items() if isinstance(count, int)})
    content["teacher"] = lift.teacher(_object(old["teacher"]))
    content["rounds"] = [lift.round(_object(round_)) for round_ in _list(old["rounds"])]
    content["candidates"] = [lift.candidate(_object(candidate)) for candidate in _list(old["candidates"])]
    if old.get("stop") is not None:
        stop = _object(old["stop"])
        judged = [lift.judgement(_object(judgement)) for judgement in _list(stop["judgements"])]
        content["stop"] = {**stop, "judgements": judged}
    return content


class _Lift:
    """Parts of one file.

    Args:
        examples: of the recipe's splits.
    """

    def __init__(self, metric: str, examples: Mapping[str, int]) -> None:
        self._metric, self._examples = metric, examples

    def teacher(self, old: Json) -> Json:
        return {**self._model(old), "ood": self._ood(old)}

    def round(self, old: Json) -> Json:
        own = old.get("own_teacher_accuracy")
        content = self._model(old, known=own is None)
        drop = {
            "value": content.pop("drop_from_teacher"),
            **_ends(content.pop("drop_from_teacher_ci")),
            "split": "test",
        }
        control, gain = content.pop("control_accuracy", None), content.pop("gain_over_control", None)
        ends, p = _ends(content.pop("gain_over_control_ci", None)), content.pop("gain_over_control_p", None)
        own_ends = content.pop("own_teacher_accuracy_ci", None)
        content.pop("own_teacher_accuracy", None)
        trials = [_object(trial) for trial in _list(old.get("teacher_trials", []))]
        seeds = [_object(seed) for seed in _list(old.get("seeds", []))]
        return {
            **content,
            "ood": self._ood(old),
            "drop": drop,
            "control": None if control is None else self._figure("test", control, None, known=own is None),
            "gain": None if gain is None else {"value": gain, **ends, "p": p, "split": "test"},
            "own_teacher": None if own is None else self._figure("test", own, own_ends, known=False),
            "teacher_trials": [{"teacher": trial["teacher"], "value": trial["metric"]} for trial in trials],
            "seeds": [
                {"seed": seed["seed"], "value": seed["accuracy"], "control": seed.get("control_accuracy")}
                for seed in seeds
            ],
            "errors": old.get("errors") or None,
        }

    def candidate(self, old: Json) -> Json:
        if old.get("state") in ("refused", "failed"):
            return _renamed(old, round="model")
        if old.get("state") == "emulated":
            content = _renamed(old, round="model", accuracy_here="here")
            accuracy, ends = content.pop("accuracy"), content.pop("accuracy_ci")
            asked = {**self._figure("test", accuracy, ends), "examples": old["test_items"]}
            return {**content, "figures": [asked]}
        content = _renamed(
            self._model(old),
            round="model",
            mean_kl="mean_divergence",
            validation_accuracy_batched="validation_batched",
        )
        for figure in _list(content["figures"]):
            _object(figure)["host"] = _HOST if _object(figure)["split"] == "test" else None
        drop = {"value": content.pop("accuracy_drop"), "split": "validation"}
        return {**content, "drop": drop, "host": _HOST}

    def judgement(self, old: Json) -> Json:
        drop = {"value": old["drop"], **_ends(old["drop_ci"]), "p": old["p"], "split": "validation"}
        return {**{key: value for key, value in old.items() if key not in ("drop_ci", "p")}, "drop": drop}

    def _model(self, old: Json, known: bool = True) -> Json:
        """With figures instead of accuracies."""
        content = {key: value for key, value in old.items() if key != "elsewhere"}
        test = self._figure("test", content.pop("accuracy"), content.pop("accuracy_ci"), known)
        validation = self._figure("validation", content.pop("validation_accuracy"), None, known)
        return {**content, "figures": [test, validation]}

    def _ood(self, old: Json) -> Json:
        return {name: self._set(name, _object(content)) for name, content in _object(old.get("elsewhere", {})).items()}

    def _set(self, name: str, old: Json) -> Json:
        accuracy, auroc, asked = old.get("accuracy"), old.get("auroc"), old["items"]
        out = old["out_of_scope"]
        known = asked - out if isinstance(asked, int) and isinstance(out, int) else None
        figure = {**self._figure(name, accuracy, old.get("accuracy_ci")), "examples": known}
        return {
            "examples": asked,
            "out_of_scope": out,
            "figures": [] if accuracy is None else [figure],
            "calibration_error": old.get("calibration_error"),
            "auroc": None if auroc is None else {"value": auroc, **_ends(old.get("auroc_ci"))},
        }

    def _figure(self, split: str, value: object, ends: object, known: bool = True) -> Json:
        """`known`: whether it is of the recipe's data, whose examples are counted."""
        examples = self._examples.get(split) if known else None
        facts = {"metric": self._metric, "direction": "higher", "examples": examples, "split": split, "host": None}
        return {**facts, "value": value, **_ends(ends)}


def _ends(interval: object) -> Json:
    if interval is None:
        return {"low": None, "high": None}
    low, high = _list(interval)
    return {"low": low, "high": high}


def _renamed(content: Json, **names: str) -> Json:
    return {names.get(key, key): value for key, value in content.items()}


def _object(content: object) -> Json:
    if not isinstance(content, dict):
        raise TypeError(f"{content!r:.60} is no object")
    return content


def _list(content: object) -> list[object]:
    if not isinstance(content, list):
        raise TypeError(f"{content!r:.60} is no list")
    return content
