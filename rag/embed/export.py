"""Turns a BERT-type checkpoint into an ONNX graph, once, without torch.

The graph maps token ids and their mask to unit vectors; pooling and normalisation are inside. Its second output are the
states of the tokens that were pooled. It uses onnxruntime's fused operators (attention, skip connection with layer
normalisation, bias with the exact GELU), so that nothing is left to optimise when a session starts, and keeps the
weights in a second file that the session maps instead of reading.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from rag.embed.cache import cache_directory, install, is_intact
from rag.embed.checkpoint import Checkpoint, first_position
from rag.errors import ModelError

if TYPE_CHECKING:
    import onnx

Precision = Literal["fp32", "int8"]
GRAPH = "model.onnx"
_WEIGHTS = "weights.bin"
_GRAPH_VERSION = 2  # raise it when the graph changes, so that older exports are not used
_ALIGNMENT = 65536  # of each large tensor in the weights file, so that every platform can map it
_CONTRIB = "com.microsoft"


def exported(checkpoint: Checkpoint, *, weights_sha256: str, precision: Precision) -> Path:
    """The path of the checkpoint's graph in the cache; exported first if it is not there whole.

    Raises:
        ModelError: the weights do not fit the configuration, or the cache cannot be written.
    """
    settings = repr((checkpoint.family, checkpoint.layers, checkpoint.heads, checkpoint.epsilon, checkpoint.pooling))
    digest = blake2b(f"{settings} {precision} {_GRAPH_VERSION}".encode(), digest_size=4).hexdigest()
    folder = cache_directory() / "models" / f"{weights_sha256[:16]}-{precision}-{digest}"
    if not is_intact(folder):
        write = _write_int8 if precision == "int8" else _write_fp32
        install(folder, lambda temporary: write(_Graph(checkpoint), temporary))
    return folder / GRAPH


def _write_fp32(graph: _Graph, folder: Path) -> None:
    model = graph.model()
    with (folder / _WEIGHTS).open("wb") as file:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) < _ALIGNMENT:
                continue
            file.seek(-file.tell() % _ALIGNMENT, 1)
            place = {"location": _WEIGHTS, "offset": file.tell(), "length": len(tensor.raw_data)}
            file.write(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = tensor.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
    (folder / GRAPH).write_bytes(model.SerializeToString())


def _write_int8(graph: _Graph, folder: Path) -> None:
    """Weights to 8 bits for each output channel, activations for each batch.

    Seven bits are used of the eight: with all of them, sums overflow on processors without VNNI, and vectors would
    depend on the machine.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = graph.model()
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")  # no shape inference needed
    whole = folder / "fp32.onnx"
    whole.write_bytes(model.SerializeToString())
    quantize_dynamic(
        whole,
        folder / GRAPH,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"MatMulConstBOnly": True},
    )
    whole.unlink()


class _Graph:
    """Builds the graph of one checkpoint: nodes and weights are collected in the order of the computation."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.weights: dict[str, NDArray[np.float32]] = {}

    def model(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        checkpoint = self.checkpoint
        self.weights = _read(checkpoint)
        try:
            hidden = self._embeddings()
            for layer in range(checkpoint.layers):
                hidden = self._layer(hidden, layer)
        except KeyError as error:
            raise ModelError(f"{checkpoint.weights}: there is no tensor {error}") from error
        self._pool(hidden)
        self.weights = {}
        ids, mask = (helper.make_tensor_value_info(n, TensorProto.INT32, ["batch", "token"]) for n in ("ids", "mask"))
        vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", checkpoint.dimension])
        states = helper.make_tensor_value_info(hidden, TensorProto.FLOAT, ["batch", "token", checkpoint.dimension])
        # The types of what lies between, which the quantiser cannot infer through the fused operators.
        inner = [node.output[0] for node in self.nodes[:-1] if node.output[0] != hidden]
        between = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner]
        outputs = [vectors, states]
        graph = helper.make_graph(self.nodes, "encoder", [ids, mask], outputs, self.tensors, value_info=between)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="ragloom")

    def _embeddings(self) -> str:
        # Token types are not an input: all tokens are of the first type, which is added to the positions once.
        first = first_position(self.checkpoint.family, self.checkpoint.padding_id)
        positions = self.weights["embeddings.position_embeddings.weight"][first:]
        positions = positions + self.weights["embeddings.token_type_embeddings.weight"][0]
        words = self._tensor("words", self.weights["embeddings.word_embeddings.weight"])
        norm = self._norm("embeddings.LayerNorm")
        inputs = ["ids", "", words, self._tensor("positions", positions), "", *norm, "mask"]
        # lengths (batch,) int32: the mask's sums, which the attention takes because padding is always at the right
        self._node("EmbedLayerNormalization", inputs, ["hidden", "lengths"], epsilon=self.checkpoint.epsilon)
        return "hidden"

    def _layer(self, hidden: str, layer: int) -> str:
        of = f"encoder.layer.{layer}"
        names = [f"{of}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self.weights[f"{name}.weight"].T for name in names], axis=1)
        bias = np.concatenate([self.weights[f"{name}.bias"] for name in names])
        inputs = [hidden, self._tensor(f"{of}.qkv", weight), self._tensor(f"{of}.qkv.bias", bias), "lengths"]
        attended = self._node("Attention", inputs, [f"{of}.attended"], num_heads=self.checkpoint.heads)
        hidden = self._dense_and_norm(f"{of}.attention.output", attended, hidden)
        wide = self._dense(f"{of}.intermediate.dense", hidden)
        bias_name = self._tensor(f"{of}.intermediate.bias", self.weights[f"{of}.intermediate.dense.bias"])
        wide = self._node("BiasGelu", [wide, bias_name], [f"{of}.gelu"])
        return self._dense_and_norm(f"{of}.output", wide, hidden)

    def _dense_and_norm(self, of: str, value: str, residual: str) -> str:
        dense = self._dense(f"{of}.dense", value)
        bias = self._tensor(f"{of}.bias", self.weights[f"{of}.dense.bias"])
        inputs = [dense, residual, *self._norm(f"{of}.LayerNorm"), bias]
        return self._node("SkipLayerNormalization", inputs, [f"{of}.hidden"], epsilon=self.checkpoint.epsilon)

    def _dense(self, of: str, value: str) -> str:
        weight = self._tensor(f"{of}.weight", self.weights[f"{of}.weight"].T)
        return self._node("MatMul", [value, weight], [f"{of}.product"], domain="")

    def _norm(self, of: str) -> list[str]:
        return [self._tensor(f"{of}.{part}", self.weights[f"{of}.{part}"]) for part in ("weight", "bias")]

    def _pool(self, hidden: str) -> None:
        """The sum of the unmasked states, or the first one; the unit vector is the same as the mean's."""
        from onnx import TensorProto

        axis = self._tensor("axis", np.array([1], np.int64))
        if self.checkpoint.pooling == "mean":
            mask = self._node("Cast", ["mask"], ["mask.float"], domain="", to=TensorProto.FLOAT)
            mask = self._node("Unsqueeze", [mask, axis], ["mask.row"], domain="")
            row = self._node("MatMul", [mask, hidden], ["sum.row"], domain="")
        else:
            first = self._tensor("first", np.array([0], np.int64))
            row = self._node("Gather", [hidden, first], ["first.row"], domain="", axis=1)
        pooled = self._node("Squeeze", [row, axis], ["pooled"], domain="")
        self._node("LpNormalization", [pooled], ["vectors"], domain="", axis=-1, p=2)

    def _tensor(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(
        self, kind: str, inputs: list[str], outputs: list[str], *, domain: str = _CONTRIB, **attributes: float | int
    ) -> str:
        from onnx import helper

        node = helper.make_node(kind, inputs, outputs, name=outputs[0], domain=domain)
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)
        return outputs[0]


def _read(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    """All tensors as float32, without the prefix of the whole model that some checkpoints put before their names."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(checkpoint.weights, framework="numpy") as file:
            names = file.keys()
            prefix = "" if "embeddings.word_embeddings.weight" in names else f"{checkpoint.family.split('-')[-1]}."
            return {name.removeprefix(prefix): file.get_tensor(name).astype(np.float32) for name in names}
    except (SafetensorError, TypeError) as error:  # TypeError: a number format that numpy does not have
        raise ModelError(
            f"{checkpoint.weights}: cannot be read: {error}", hint="convert it to float32 safetensors"
        ) from error
