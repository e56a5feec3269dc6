"""Location of a model's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def layer_list(model: PreTrainedModel) -> str:
    """The dotted name of the module list of the model's layers.

    Raises:
        UserError: none or several have that length.
    """
    from torch.nn import ModuleList

    depth = model.config.num_hidden_layers
    found = [name for name, module in model.named_modules() if isinstance(module, ModuleList) and len(module) == depth]
    outermost = [name for name in found if not any(name.startswith(other + ".") for other in found)]
    if len(outermost) != 1:
        lists = f"{len(outermost)} lists of {depth} modules" if outermost else f"no list of {depth} modules"
        raise UserError(
            f"a '{model.config.model_type}' has {lists}, expected exactly one, its layers; use init: checkpoint or "
            "scratch"
        )
    return outermost[0]
