"""ONNX graphs in the making; ``session`` runs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Graph:
    """An ONNX graph in the making; what it computes goes by name."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, values: Any) -> str:  # noqa: ANN401 - whatever numpy takes
        """Add values that stay the same; return their name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add an operation; return the name of what it computes."""
        from onnx import helper

        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def model(self, source: str, shape: list[str | int], result: str, *, kind: str = "float32", rank: int = 3) -> bytes:
        """Return the finished model, with one input and one output, as ONNX Runtime reads it."""
        from onnx import TensorProto, checker, helper

        kinds = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
        inputs = [helper.make_tensor_value_info(source, kinds[kind], shape)]
        outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, [None] * rank)]
        graph = helper.make_graph(self.nodes, "vidfleet", inputs, outputs, self.constants)
        # Opset 17 and IR 8: every ONNX Runtime that pyproject.toml allows reads them.
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
        checker.check_model(model)
        serialised: bytes = model.SerializeToString()
        return serialised
