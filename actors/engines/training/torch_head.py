"""The head in training: `actors.engines.prm.heads.OffsetHead` in torch, with gradients."""

from typing import TYPE_CHECKING

from actors.engines.prm.heads import ClassHead, Linear, OffsetHead
from scaling.calibration.heads import HeadSpec

if TYPE_CHECKING:
    import torch


class TorchHead:
    """An older head, which stays as it is, and an offset to it, which begins at 0. All float32.

    Attributes:
        spec: what the outputs mean.
    """

    def __init__(self, old: ClassHead, spec: HeadSpec, device: str) -> None:
        """Bring the older head to the device."""
        import torch

        def moved(layer: Linear) -> "tuple[torch.Tensor, torch.Tensor]":
            return torch.tensor(layer.weight, device=device), torch.tensor(layer.bias, device=device)

        self.spec = spec
        self._old = old
        self._inner = None if old.inner is None else moved(old.inner)
        self._bad, self._good = moved(old.bad), moved(old.good)
        self._shares = torch.tensor(spec.shares, device=device)
        self._intercepts = torch.tensor(spec.intercepts, device=device)
        size = (spec.num_outputs, old.good.weight.shape[1])
        self._weight = torch.nn.Parameter(torch.zeros(size, device=device))
        self._bias = torch.nn.Parameter(torch.zeros(spec.num_outputs, device=device))

    def parameters(self) -> "dict[str, torch.nn.Parameter]":
        """What is trained, by name."""
        return {"offset.weight": self._weight, "offset.bias": self._bias}

    def outputs(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """The raw outputs [P, K] for hidden states [P, H]."""
        features = self._features(hidden)
        start = self._logit(features)[:, None] * self._shares + self._intercepts
        return start + features @ self._weight.T + self._bias

    def old_logits(self, hidden: "torch.Tensor") -> "torch.Tensor":
        """The logit of the older score [P]."""
        return self._logit(self._features(hidden))

    def served(self, spec: HeadSpec) -> OffsetHead:
        """The head as it is served, under a description that may have got a shift."""
        weight, bias = (each.detach().cpu().numpy() for each in (self._weight, self._bias))
        return OffsetHead(self._old, Linear(weight, bias), spec)

    def _features(self, hidden: "torch.Tensor") -> "torch.Tensor":
        if self._inner is None:
            return hidden
        weight, bias = self._inner
        return (hidden @ weight.T + bias).relu()

    def _logit(self, features: "torch.Tensor") -> "torch.Tensor":
        good, bad = (features @ weight.T + bias for weight, bias in (self._good, self._bad))
        return good.logsumexp(dim=1) - bad.logsumexp(dim=1)
