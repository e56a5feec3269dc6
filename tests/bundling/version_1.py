"""A bundle as the first version of the format had it: token ids and logits as lists in `golden.json`."""

from __future__ import annotations

import json

from edgedistill.bundling.layout import open_bundle, write_hashes

NAMES = ("input_ids", "attention_mask", "token_type_ids")


def rewrite(folder):
    """Turn a bundle of a text classifier into one of version 1."""
    bundle = open_bundle(folder)
    golden, facts = bundle.golden, json.loads((folder / "bundle.json").read_text())
    model = facts.pop("components")["model"]
    lengths = [length for length, _ in model["files"] if length is not None]
    width = lengths or f"1..{facts['max_length']}"
    inputs = [{"name": port["name"], "type": "int64", "shape": [facts["batch"], width]} for port in model["inputs"]]
    facts |= {"schema": "edgedistill/bundle/1", "opened": model["files"], "lengths": lengths, "inputs": inputs}
    facts |= {"pad_token": int(golden.items.columns["input_ids"].pad)}
    facts |= {"round": facts.pop("model"), "environment": facts.pop("host")}
    facts["measured"] = _measured(facts["measured"])
    items = []
    for number, text in enumerate(golden.texts):
        given = golden.items.inputs([number])
        rows = golden.answers.of_items([number]).values["logits"]
        items.append(
            {
                "text": text.text,
                "given": list(text.given),
                **{name: given[name][0].tolist() for name in NAMES if name in given},
                "rows": [[float(f"{value:.7g}") for value in row] for row in rows],
                "labels": list(text.answers),
            }
        )
    told = {"tolerance": golden.tolerance, "tolerance_reason": golden.reason, "what": "validation inputs"}
    for name in ("golden-items.safetensors", "golden-answers.safetensors", "bundle.json", "golden.json"):
        (folder / name).unlink()  # it may share its bytes with the run's
    (folder / "golden.json").write_text(json.dumps({"schema": "edgedistill/golden/1", **told, "items": items}))
    (folder / "bundle.json").write_text(json.dumps(facts))
    write_hashes(folder)
    return folder


def _measured(now):
    figures = {figure["split"]: figure for figure in now.pop("figures") if figure["metric"] == "accuracy"}
    test, drop = figures["test"], now.pop("drop")
    before = {"accuracy": test["value"], "accuracy_ci": [test["low"], test["high"]]}
    before |= {"validation_accuracy": figures["validation"]["value"], "accuracy_drop": drop["value"]}
    return {**now, **before}
