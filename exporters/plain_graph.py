"""A simplified model for converters with few operators.

Attention is written out (`plain_attention`), the mask is an input in floating point, and position tables with computed
indices are sliced to the input's length.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgedistill_exporters.plain_attention import MASK, NAME, given

if TYPE_CHECKING:
    from edgedistill.contracts.target import FileRequest
    from edgedistill.contracts.tensors import Tensors

_TYPES = "token_type_ids"


class PlainGraph(nn.Module):
    """The requested outputs from the inputs in order: mask and blocks float32, others int64 (B, T).

    Args:
        request: its model is not modified.
        samples: inputs of the lengths to trace at, which show the tables' indices.
    """

    def __init__(self, request: FileRequest, samples: Sequence[Tensors]) -> None:
        super().__init__()
        columns = request.columns()
        self.names = tuple(columns)
        self._floats = {name for name, column in columns.items() if name == MASK or column.layout == "block"}
        self._forward, self._outputs = request.forward, request.outputs
        self.model = copy.deepcopy(request.model()).eval()
        self.model.set_attn_implementation(NAME)
        self._cut_tables(samples)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        by_name = dict(zip(self.names, inputs, strict=True))
        given.set(by_name)
        found = self._forward(self.model, by_name)
        return tuple(found[name] for name in self._outputs)

    def arguments(self, batch: Tensors) -> tuple[torch.Tensor, ...]:
        """The inputs in the graph's types."""
        return tuple(batch[name].float() if name in self._floats else batch[name] for name in self.names)

    def _cut_tables(self, samples: Sequence[Tensors]) -> None:
        """Replace embeddings that are always read from the start to the input's length, or only at the first row."""
        tables = {name: module for name, module in self.model.named_modules() if isinstance(module, nn.Embedding)}
        seen: dict[str, list[torch.Tensor]] = defaultdict(list)
        hooks = [
            table.register_forward_pre_hook(partial(lambda name, _, arguments: seen[name].append(arguments[0]), name))
            for name, table in tables.items()
        ]
        with torch.no_grad():
            for batch in samples:
                self(*self.arguments(_with_both_types(batch, tables)))
        for hook in hooks:
            hook.remove()
        for name, indices in seen.items():
            if all(torch.equal(rows, torch.arange(rows.shape[-1]).expand_as(rows)) for rows in indices):
                self.model.set_submodule(name, _FirstRows(tables[name]))
            elif not any(rows.any() for rows in indices):
                self.model.set_submodule(name, _FirstRow(tables[name]))


class _FirstRows(nn.Module):
    """(1, T, H): as many rows as the input has tokens."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.rows = nn.Parameter(table.weight.detach()[None].clone())

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        length = next(iter(given.get().values())).shape[1]
        return self.rows[:, :length]


class _FirstRow(nn.Module):
    """(1, 1, H)."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.row = nn.Parameter(table.weight.detach()[None, :1].clone())

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.row


def _with_both_types(batch: Tensors, tables: dict[str, nn.Embedding]) -> Tensors:
    """Single texts only have type 0, but pairs may follow: give every other token type 1 if there is one."""
    types = next((table for name, table in tables.items() if name.endswith("token_type_embeddings")), None)
    if _TYPES not in batch or types is None or types.num_embeddings < 2:
        return batch
    alternating = torch.arange(1, batch[_TYPES].shape[1] + 1) % 2
    return {**batch, _TYPES: alternating.expand_as(batch[_TYPES])}
