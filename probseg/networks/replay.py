"""A network asked again and again about one image, of which only what comes after some layers has changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.jit import ScriptModule

__all__ = ["Replayed"]


@dataclass
class _Answer:
    """What a module gave that was asked before any of the layers was.

    Attributes:
        following: number of the first call after it and those within it.
        output: what it gave, or a copy where the network overwrites it.
        total: sum of the output when it was given.
        overwritten: whether the network changes it afterwards, in place.
    """

    following: int
    output: Tensor
    total: Tensor
    overwritten: bool = False


class Replayed:
    """``network(image)``, in which modules that were through before ``layers`` began are asked once only.

    For draws that differ in some layers alone, such as dropout in a decoder: the first call computes everything, later
    ones begin at the first of the layers. No help of the network is needed, so that any library's will do; what it asks
    of its modules, and in which order, must not depend on the values of the image. Outputs that the network overwrites
    in place, as ``F.relu(x, inplace=True)`` does, are found in the first call, and copied from the second on.

    Within a call every module's ``forward`` is replaced, and put back at its end. Made for one image: a module of this
    kind keeps its answers as long as it lives.

    Args:
        network: whose modules, but for ``layers``, do the same at every call.
        layers: those of its modules that do not.
    """

    def __init__(self, network: nn.Module, layers: Collection[nn.Module]) -> None:
        self.network = network
        self._layers = {id(layer) for layer in layers}
        self._modules = [m for m in network.modules() if m is not network and not isinstance(m, ScriptModule)]
        self._answers: dict[int, _Answer] = {}
        self._asked = 0
        self._reached = False
        self._calls = 0

    def __call__(self, image: Tensor) -> Any:
        """The network's answer; the same image at every call."""
        self._asked, self._reached = 0, False
        own = [(m, m.__dict__["forward"]) for m in self._modules if "forward" in m.__dict__]
        for module in self._modules:
            module.forward = self._instead(module)
        try:
            return self.network(image)
        finally:
            for module in self._modules:
                del module.__dict__["forward"]
            for module, forward in own:
                module.__dict__["forward"] = forward
            self._calls += 1
            if self._calls == 1:
                self._find_overwritten()

    def _instead(self, module: nn.Module) -> Any:
        forward, varies = module.forward, id(module) in self._layers

        def ask(*args: Any, **kwargs: Any) -> Any:
            self._reached |= varies
            number, self._asked = self._asked, self._asked + 1
            known = self._answers.get(number)
            if known is not None and (self._calls > 1 or not known.overwritten):
                self._asked = known.following
                return known.output.clone() if known.overwritten else known.output
            output = forward(*args, **kwargs)
            if self._reached or not isinstance(output, Tensor):
                return output
            if known is not None:
                known.output = output.clone()
            elif self._calls == 0:
                for inner in range(number + 1, self._asked):  # whoever has the outer answer needs no inner ones
                    self._answers.pop(inner, None)
                self._answers[number] = _Answer(self._asked, output, output.sum())
            return output

        return ask

    def _find_overwritten(self) -> None:
        """Of answers that share their memory the last tells whether all are still what they were."""
        sharing: dict[int, list[_Answer]] = {}
        for _, answer in sorted(self._answers.items()):
            sharing.setdefault(answer.output.untyped_storage().data_ptr(), []).append(answer)
        for answers in sharing.values():
            changed = not bool(answers[-1].output.sum() == answers[-1].total)
            for answer in answers:
                answer.overwritten = changed
