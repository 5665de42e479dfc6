"""Parts of a network that do not learn: which they are, and that they stay as they are while the rest learns."""

from __future__ import annotations

from torch import nn

from swath.nn.depth import INSIDE


def is_frozen(part: nn.Module) -> bool:
    """Whether a part has parameters and none of them learns."""
    learns = [parameter.requires_grad for parameter in part.parameters()]
    return bool(learns) and not any(learns)


def training_mode(module: nn.Module) -> None:
    """Training mode, with frozen parts in evaluation mode.

    In training mode a frozen batch normalisation would still move its running statistics, and dropout and stochastic
    depth would disturb what nobody trains. A part of which only a bias learns is not frozen.
    """
    module.train()
    for part in module.modules():
        if is_frozen(part):
            part.eval()


def network_of(module: nn.Module) -> tuple[str, nn.Module]:
    """The network of a task, and how the names of its parameters begin; a module without ``network`` is its own."""
    network = getattr(module, "network", None)
    return ("network.", network) if isinstance(network, nn.Module) else ("", module)


def encoder_name(network: nn.Module) -> str | None:
    """The attribute under which a network keeps its encoder, or None; see ``nn.depth.INSIDE``."""
    return next((name for name in INSIDE if isinstance(getattr(network, name, None), nn.Module)), None)
