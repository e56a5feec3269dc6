"""Model folders. Oracle: the teacher without fine-tuning gives the logits of the undamaged folder on all training
texts, and the same class names; damage is refused, and equivalent spellings of the same folder work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from .harness import Case, Verdict, judge
from .models.configuration import (
    byte_order_mark,
    bytes_flipped_in_json,
    config_labels,
    config_labels_missing,
    config_missing,
    config_model_type,
    config_size,
    config_value_odd,
    folder_empty,
    json_broken,
    problem_type_multi_label,
    problem_type_regression,
)
from .models.folder import Folder, Mutation
from .models.foreign_code import (
    adapter_beside,
    auto_map,
    auto_map_of_the_config,
    chat_template,
    code_asked_for,
    index_names_another_file,
    kernel_of_the_hub,
    modules_of_the_working_folder,
    nested_config,
    other_weights_file_named,
    pickle_in_place_of_weights,
    quantization_asked_for,
)
from .models.spellings import (
    config_keys_more,
    files_beside,
    linked_files,
    tokenizer_padding_fixed,
    weights_in_half_precision,
    weights_more,
    weights_sharded,
    written_otherwise,
)
from .models.tokenizer import (
    files_of_another_tokenizer,
    tokenizer_config_odd,
    tokenizer_missing,
    tokenizer_numbers_beyond,
    tokenizer_part_odd,
    tokenizer_words_gone,
)
from .models.weights import (
    header_entry,
    header_length,
    header_text,
    weight_misnamed,
    weight_missing,
    weight_not_finite,
    weight_of_another_shape,
    weight_of_another_type,
    weights_cut_short,
    weights_longer,
    weights_missing,
    weights_other_bytes,
)
from .world import recipe_tree, write_recipe

COUNT = 150
LIMIT_S = 60.0
NEEDS = ("as-is",)


MUTATIONS: tuple[Mutation, ...] = (
    written_otherwise, files_beside, config_keys_more, weights_sharded, weights_in_half_precision, weights_more,
    tokenizer_padding_fixed, linked_files, pickle_in_place_of_weights, index_names_another_file, auto_map,
        auto_map_of_the_config, code_asked_for,
    kernel_of_the_hub, nested_config, chat_template, adapter_beside, modules_of_the_working_folder,
        quantization_asked_for,
    other_weights_file_named, weight_missing, weight_misnamed, weight_of_another_shape, weight_of_another_type,
    weight_not_finite, weights_cut_short, weights_longer, weights_other_bytes, header_length, header_entry, header_text,
    weights_missing, config_size, config_value_odd, config_model_type, config_labels, config_labels_missing,
    problem_type_multi_label, problem_type_regression, json_broken, byte_order_mark, bytes_flipped_in_json,
        config_missing,
    folder_empty, tokenizer_missing, tokenizer_words_gone, tokenizer_numbers_beyond, tokenizer_part_odd,
        tokenizer_config_odd,
    files_of_another_tokenizer,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated teacher, used as it is: `run`, only as far as its logits of the training texts."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    case.canary.mkdir()
    folder = Folder(Path(shutil.copytree(case.world.teacher, case.path("teacher"))), case.canary)
    mutation(folder, case.rng)
    tree = recipe_tree(case.world, tuned=False)
    tree["teacher"] = {"model": str(folder.path)}
    recipe = write_recipe(tree, case.path("recipe.yaml"))
    outcome = case.command("run", recipe, "--out", case.path("run"), cwd=folder.cwd, only="logits-teacher-train")
    verdict = judge(case, outcome, folder.expected, lambda: case.isolated(lambda: _differs(case, folder)))
    return mutation.__name__, verdict


def _differs(case: Case, folder: Folder) -> str | None:
    """What of the recorded logits or of the class names isn't the undamaged teacher's."""
    from safetensors.numpy import load_file

    names = [
        json.loads(next(run.glob("steps/[0-9][0-9]-data/record.json")).read_text())["labels"]
        for run in (case.world.as_is, case.path("run"))
    ]
    if names[0] != names[1]:
        return f"classes {names[1]}, expected {names[0]}"
    own, other = (
        sorted(run.glob("steps/*-logits-teacher-train/*.safetensors")) for run in (case.world.as_is, case.path("run"))
    )
    if not own or [file.name for file in own] != [file.name for file in other]:
        return f"recorded {[file.name for file in other]}, expected {[file.name for file in own]}"
    for one, two in zip(own, other, strict=True):
        wanted, found = load_file(one), load_file(two)
        for name, values in wanted.items():
            if found[name].shape != values.shape:
                return f"{name}: {found[name].shape}, expected {values.shape}"
            distance = np.abs(found[name].astype(np.float64) - values.astype(np.float64)).max()
            if not distance <= folder.tolerance:
                return f"logits are off by {distance:.3g}"
    return None
