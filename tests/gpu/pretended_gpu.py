"""A GPU that is not there: every path of a program that runs on ``cuda`` alone, on a machine without one.

    with PretendedGpu(root=".") as gpu:
        main()                      # torch.cuda.is_available() is True, tensors say device cuda:0
    print(gpu.report())

A tensor "on the GPU" is a wrapper around a CPU tensor. Python sees ``cuda:0``, torch's C++ sees ``meta`` (the autograd
engine insists on CUDA streams for real CUDA tensors, and runs meta ones inline), and every operation is done by the
CPU's kernel, so that values, shapes, views and control flow are real: a float32 result equals that of the CPU with
the same memory layout to the last bit. What a GPU would refuse is refused:

* operations on tensors of two devices, by the rules of the CUDA kernels (CPU scalars, CPU indices and copies pass);
* ``.numpy()``, ``.pin_memory()`` of a GPU tensor, a CPU generator for a GPU draw, a fused optimiser over other strides;
* operations without a CUDA kernel in this build of torch, or beyond a kernel's size, or of a dtype it lacks.

What a GPU would make slow is counted, by phase and by line of the program: kernels launched, times that the host waits
for the device (``.item()``, ``nonzero``, masks, unpinned copies), algorithms that cuDNN would try out for a new shape,
and the bytes held, of which there may be too few (``torch.OutOfMemoryError``). Ranks of torchrun work too, with gloo in
NCCL's place. It does not see: C++ branches on ``is_cuda``, the rounding, atomics and speed of CUDA kernels, what
inductor and CUDA graphs do, and threads beside the one that entered (modes of torch are per thread).
"""

from __future__ import annotations

import contextlib
import functools
import sys
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

aten = torch.ops.aten
META = torch.device("meta")
_CUDNN = ("benchmark", "allow_tf32", "deterministic")
_INT_MAX = 2**31 - 1
_GIGABYTE = 1 << 30
_PINNED = "_pretended_pinned"


class OnGpu(torch.Tensor):
    """A tensor that says it is on the GPU; ``inner`` holds its values, on the CPU."""

    inner: Tensor
    untrack: weakref.finalize[..., OnGpu]  # gives the bytes back
    scalar: bool  # made of a Python number, which CUDA operations take from the CPU
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor, scalar: bool = False) -> OnGpu:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=META,
        )
        made.inner, made.scalar = inner, scalar
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if PretendedGpu.current is None:
            raise RuntimeError("a pretended GPU tensor outlived its PretendedGpu block")
        return PretendedGpu.current.dispatch(func, args, kwargs or {})

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.inner!r})"


# ------------------------------------------------------------------------------------------------------------ counting


@dataclass
class Phase:
    """What one part of the program asked of the GPU."""

    calls: int = 0
    launches: int = 0
    waits: Counter[str] = field(default_factory=Counter)  # by kind
    wait_sites: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind and line
    launch_sites: Counter[str] = field(default_factory=Counter)
    tuned: set[Any] = field(default_factory=set)  # shapes that cudnn.benchmark tries algorithms for
    peak: int = 0


class Memory:
    """Bytes of the storages behind the pretended GPU's tensors, of which there are ``total`` at most."""

    def __init__(self, total: int) -> None:
        self.held: dict[int, list[int]] = {}  # by address: references, bytes
        self.total, self.allocated, self.peak = total, 0, 0

    def track(self, tensor: OnGpu) -> None:
        """Count a tensor's storage until the last tensor on it is gone."""
        storage = tensor.inner.untyped_storage()
        address = storage.data_ptr()
        if not address:
            return
        entry = self.held.setdefault(address, [0, storage.nbytes()])
        if not entry[0]:
            try:
                self.borrow(entry[1])
            except torch.OutOfMemoryError:
                del self.held[address]
                raise
            self.allocated += entry[1]
        entry[0] += 1
        tensor.untrack = weakref.finalize(tensor, self._release, address)

    def borrow(self, count: int) -> None:
        """Ask for ``count`` bytes beside what is allocated."""
        if self.allocated + count > self.total:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {count} bytes. GPU 0 has a total capacity of "
                f"{self.total} bytes of which {self.total - self.allocated} bytes is free."
            )
        self.peak = max(self.peak, self.allocated + count)

    def _release(self, address: int) -> None:
        entry = self.held[address]
        entry[0] -= 1
        if not entry[0]:
            self.allocated -= entry[1]
            del self.held[address]


# ------------------------------------------------------------------------------------------------- what operations are


@dataclass(frozen=True)
class Traits:
    """What the schema of an operation says."""

    written: tuple[tuple[int, str] | None, ...]  # for each result the argument (place, name) that it is, or None
    view: bool
    pointwise: bool
    random: bool
    cuda: bool  # there is a kernel for it


_EMPTY = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach", "alias", "lift_fresh",
          "is_pinned", "_local_scalar_dense", "_pin_memory", "_to_copy", "equal"}  # fmt: skip
_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
_RESHAPE_IN_PLACE = {"squeeze_", "unsqueeze_", "t_", "transpose_", "swapdims_", "swapaxes_"}
_COPIES = {"copy_", "copy", "_to_copy", "set_"}
_SIZED_BY_VALUES = {"nonzero", "masked_select", "unique_dim", "_unique", "_unique2", "unique_consecutive", "bincount"}
_NONDETERMINISTIC = {  # as the page of torch.use_deterministic_algorithms lists them
    *("_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "grid_sampler_2d_backward", "kthvalue", "histc"),
    *("upsample_bilinear2d_backward", "upsample_nearest2d_backward", "reflection_pad2d_backward", "put_"),
    *("replication_pad2d_backward", "nll_loss2d_forward"),
}
_SCALARS_PASS = {"where", "masked_fill", "masked_fill_", "fill", "fill_", "lerp", "clamp", "clamp_", "index_fill",
                 "index_fill_", "div", "div_", "mul", "mul_", "add", "add_", "sub", "sub_", "_fused_adam_",
                 "_fused_adamw_", "_fused_sgd_"}  # fmt: skip


@functools.cache
def traits(func: Any) -> Traits:
    """Of one overload."""
    schema = func._schema
    arguments = {
        alias: (place, argument.name)
        for place, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
        for alias in argument.alias_info.before_set
    }
    written = tuple(
        next((arguments[alias] for alias in each.alias_info.before_set if alias in arguments), None)
        if each.alias_info is not None
        else None
        for each in schema.returns
    )
    view = any(each.alias_info is not None and not each.alias_info.is_write for each in schema.returns)
    base = getattr(aten, schema.name.split("::")[1].rstrip("_"), None) if schema.name.startswith("aten::") else None
    tags = set(func.tags)
    for overload in base.overloads() if base is not None else ():
        tags |= set(getattr(base, overload).tags)
    built = torch.backends.cuda.is_built() and schema.name.startswith("aten::")
    return Traits(
        written,
        view,
        torch.Tag.pointwise in tags,
        torch.Tag.nondeterministic_seeded in tags,
        not built or torch._C._dispatch_has_computed_kernel_for_dispatch_key(func.name(), "CUDA"),
    )


def name_of(func: Any) -> str:
    """``index_put_`` of ``aten.index_put_.default``."""
    return func._schema.name.split("::")[1]


# ------------------------------------------------------------------------------------------------------- the pretence


class PretendedGpu:
    """A context in which torch has a GPU.

    Args:
        root: of the program; its lines are named where it waits.
        total: bytes of the GPU's memory.
        devices: how many GPUs there are; all tensors are on the current one.
    """

    current: PretendedGpu | None = None

    def __init__(self, root: str | Path = ".", total: int = 16 * _GIGABYTE, devices: int = 1) -> None:
        self.root, self.total, self.devices, self.index = str(Path(root).resolve()), total, devices, 0
        self.memory = Memory(total)
        self.phases: dict[str, Phase] = defaultdict(Phase)
        self.active = ["other"]
        self.dtypes: set[tuple[str, tuple[torch.dtype, ...]]] = set()
        self.random = torch.Generator()
        self.compute_bf16 = self.no_waiting = False

    # --- entering and leaving

    def __enter__(self) -> PretendedGpu:
        if PretendedGpu.current is not None:
            raise RuntimeError("one PretendedGpu at a time")
        with contextlib.ExitStack() as stack:
            for patch in self._patches():
                stack.enter_context(patch)
            overwritten = torch.__future__.get_overwrite_module_params_on_conversion()
            torch.__future__.set_overwrite_module_params_on_conversion(True)
            stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwritten)
            stack.callback(self._restore_cudnn, *(getattr(torch.backends.cudnn, name) for name in _CUDNN))
            stack.callback(torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled())
            precision = torch.get_float32_matmul_precision()
            stack.callback(torch.set_float32_matmul_precision, precision)
            PretendedGpu.current = self
            stack.callback(setattr, PretendedGpu, "current", None)
            stack.enter_context(_Dispatch(self))
            stack.enter_context(_Functions(self))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    @staticmethod
    def _restore_cudnn(*before: bool) -> None:
        for name, value in zip(_CUDNN, before, strict=True):
            setattr(torch.backends.cudnn, name, value)

    def _patches(self) -> Iterator[Any]:
        cuda, accelerator = torch.cuda, torch.accelerator

        def device_of(device: Any = None) -> int:
            if device is None or isinstance(device, int):
                return self.index if device is None else device
            return self.index if torch.device(device).index is None else torch.device(device).index

        def set_device(device: Any) -> None:
            self.index = device_of(device)

        def free(device: Any = None) -> tuple[int, int]:
            return self.total - self.memory.allocated, self.total

        functions = {
            (cuda, "is_available"): lambda: True,
            (cuda, "is_initialized"): lambda: True,
            (cuda, "_lazy_init"): lambda: None,
            (cuda, "device_count"): lambda: self.devices,
            (cuda, "current_device"): lambda: self.index,
            (cuda, "set_device"): set_device,
            (cuda, "synchronize"): lambda device=None: self._wait("synchronize"),
            (cuda, "mem_get_info"): free,
            (cuda, "memory_allocated"): lambda device=None: self.memory.allocated,
            (cuda, "memory_reserved"): lambda device=None: self.memory.allocated,
            (cuda, "max_memory_allocated"): lambda device=None: self.memory.peak,
            (cuda, "reset_peak_memory_stats"): lambda device=None: setattr(self.memory, "peak", self.memory.allocated),
            (cuda, "empty_cache"): lambda: None,
            (cuda, "set_sync_debug_mode"): lambda mode: setattr(self, "no_waiting", mode in ("error", 2)),
            (cuda, "manual_seed"): self.random.manual_seed,
            (cuda, "manual_seed_all"): self.random.manual_seed,
            (cuda, "get_rng_state"): lambda device="cuda": self.random.get_state(),
            (cuda, "set_rng_state"): lambda state, device="cuda": self.random.set_state(state),
            (cuda, "get_device_name"): lambda device=None: "pretended GPU",
            (cuda, "get_device_capability"): lambda device=None: (8, 0),
            (cuda, "is_bf16_supported"): lambda *_, **__: True,
            (cuda, "is_current_stream_capturing"): lambda: False,
            (accelerator, "is_available"): lambda: True,
            (accelerator, "current_accelerator"): lambda check_available=False: torch.device("cuda"),
            (accelerator, "current_device_index"): lambda: self.index,
            (accelerator, "set_device_index"): set_device,
            (accelerator, "current_stream"): lambda device=None: mock.Mock(is_capturing=lambda: False),
            (torch.profiler.profiler._KinetoProfile, "__init__"): _profile_on_cpu,
            (torch, "load"): self._load,
            (torch, "autocast"): self._autocast,
            (torch.utils.data._utils.pin_memory, "pin_memory"): self._pin_batch,
        }
        for (module, name), value in functions.items():
            if hasattr(module, name):
                yield mock.patch.object(module, name, value)

    # --- what a phase costs

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Count what happens inside under this name."""
        phase = self.phases[name]
        phase.calls += 1
        self.active.append(name)
        try:
            yield phase
        finally:
            self.active.pop()

    def _wait(self, kind: str) -> None:
        if self.no_waiting:
            raise RuntimeError(f"called a synchronizing CUDA operation ({kind}, {self._site()})")
        phase = self.phases[self.active[-1]]
        phase.waits[kind] += 1
        phase.wait_sites[kind, self._site()] += 1

    def _launch(self, name: str, count: int = 1) -> None:
        phase = self.phases[self.active[-1]]
        phase.launches += count
        phase.launch_sites[self._site()] += count
        phase.peak = max(phase.peak, self.memory.allocated)

    def _site(self) -> str:
        """The innermost line of the program that led here."""
        frame = sys._getframe(2)
        while frame is not None:
            path = frame.f_code.co_filename
            if path.startswith(self.root) and "/.venv/" not in path and path != __file__:
                return f"{path[len(self.root) + 1 :]}:{frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return "elsewhere"

    def report(self, sites: int = 6) -> str:
        """Markdown: per phase and call."""
        lines = ["| phase | calls | launches / call | waits / call | by kind | cuDNN shapes | peak MB |",
                 "| --- | ---: | ---: | ---: | --- | ---: | ---: |"]  # fmt: skip
        for name, phase in self.phases.items():
            calls = max(1, phase.calls)
            kinds = ", ".join(f"{kind} {count / calls:.3g}" for kind, count in phase.waits.most_common())
            lines.append(
                f"| {name} | {phase.calls} | {phase.launches / calls:.1f} | {phase.waits.total() / calls:.2f} "
                f"| {kinds} | {len(phase.tuned)} | {phase.peak / 1e6:.2f} |"
            )
        for name, phase in self.phases.items():
            if phase.wait_sites:
                lines += ["", f"{name}: waits at"]
                for (kind, site), count in phase.wait_sites.most_common(sites):
                    lines.append(f"  {count / max(1, phase.calls):8.2f}  {kind:<12} {site}")
        return "\n".join(lines)

    # --- devices

    def device(self) -> torch.device:
        return torch.device("cuda", self.index)

    def pretended(self, device: Any) -> Any:
        """``meta`` for a GPU, any other device as it is."""
        if isinstance(device, int) and not isinstance(device, bool):
            device = torch.device("cuda", device)
        if isinstance(device, str) and device.startswith("cuda"):
            device = torch.device(device)
        if not isinstance(device, torch.device) or device.type != "cuda":
            return device
        if device.index is not None and device.index >= self.devices:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return META

    # --- the one place that all operations go through

    def dispatch(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Check an operation as a GPU would, count it, and have the CPU do it."""
        tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        on_gpu = [each for each in tensors if isinstance(each, OnGpu)]
        if func.namespace == "c10d":
            return self._collective(func, args, kwargs)
        name, kind = name_of(func), traits(func)
        asked = kwargs.get("device")
        if not on_gpu and (asked is None or torch.device(asked).type != "meta"):
            return self._on_cpu(func, args, kwargs)
        to_gpu = bool(on_gpu) if asked is None else torch.device(asked).type == "meta"
        if (decomposed := self._decomposed(func, args, kwargs)) is not NotImplemented:
            return decomposed
        self._check(func, name, kind, args, kwargs, tensors, on_gpu, to_gpu)
        self._count(func, name, kind, args, kwargs, tensors, to_gpu)
        inner_args, inner_kwargs = tree_map_only(OnGpu, lambda each: each.inner, (tuple(args), dict(kwargs)))
        if asked is not None:
            inner_kwargs["device"] = torch.device("cpu")
        if inner_kwargs.get("pin_memory"):
            inner_kwargs["pin_memory"] = False
        with self._drawing() if kind.random and to_gpu else contextlib.nullcontext():
            result = _ONLY_ON_GPUS.get(name, func)(*inner_args, **inner_kwargs)
        if name in _RESHAPE_IN_PLACE:
            with torch._C._DisableTorchDispatch():
                func(*args, **kwargs)  # the wrapper's own sizes and strides
            return args[0]
        of_normal = kind.view and not any(each.is_inference() for each in on_gpu)
        with torch.inference_mode(False) if of_normal else contextlib.nullcontext():
            return self._results(result, kind, args, kwargs, to_gpu, scalar=name == "scalar_tensor")

    def _collective(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Done by the CPU's backend before it returns; what waits for it is given the tensors themselves."""
        tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, OnGpu)]
        result = func(*tree_map_only(OnGpu, lambda each: each.inner, tuple(args)), **kwargs)
        if not tensors:
            return result
        self._launch(func.__name__)
        parts = list(result) if isinstance(result, tuple) else [result]
        parts[-1].wait()
        done = torch.futures.Future()
        done.set_result([each for each in tree_iter(args[0]) if isinstance(each, Tensor)])
        parts[-1] = torch._C._distributed_c10d._create_work_from_future(done).boxed()
        parts[:-1] = args[: len(parts) - 1]
        return tuple(parts) if isinstance(result, tuple) else parts[0]

    @staticmethod
    def _on_cpu(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """An operation that the GPU has no part in."""
        if kwargs.get("pin_memory"):
            kwargs = {**kwargs, "pin_memory": False}
        return func(*args, **kwargs)

    def _decomposed(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The operations that a composite consists of (autograd has taken it apart unless in inference mode)."""
        if not torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            return NotImplemented
        with _Dispatch(self):
            return func.decompose(*args, **kwargs)

    @contextlib.contextmanager
    def _drawing(self) -> Iterator[None]:
        """The GPU's random numbers, without touching the CPU's."""
        state = torch.default_generator.get_state()
        torch.default_generator.set_state(self.random.get_state())
        try:
            yield
        finally:
            self.random.set_state(torch.default_generator.get_state())
            torch.default_generator.set_state(state)

    def _results(
        self, result: Any, kind: Traits, args: Sequence[Any], kwargs: dict[str, Any], to_gpu: bool, scalar: bool
    ) -> Any:
        """On the GPU where they belong there; what was written in place is the argument itself."""
        single = not isinstance(result, tuple) or len(kind.written) == 1
        parts = [result] if single else list(result)
        for place, each in enumerate(kind.written if len(kind.written) == len(parts) else [None] * len(parts)):
            if each is not None:
                target = args[each[0]] if each[0] < len(args) else kwargs[each[1]]
                self._check_shape(target)
                parts[place] = target
        if to_gpu:
            parts = [tree_map_only(Tensor, functools.partial(self._wrapped, scalar), part) for part in parts]
        return parts[0] if single else tuple(parts)

    def _wrapped(self, scalar: bool, tensor: Tensor) -> Tensor:
        if isinstance(tensor, OnGpu):
            return tensor
        made = OnGpu(tensor, scalar)
        self.memory.track(made)
        return made

    @staticmethod
    def _check_shape(target: Any) -> None:
        for each in tree_iter(target):
            if isinstance(each, OnGpu) and each.shape != each.inner.shape:
                raise NotImplementedError(f"an operation changed the shape of its argument to {each.inner.shape}")

    # --- what a GPU refuses

    def _check(
        self,
        func: Any,
        name: str,
        kind: Traits,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        tensors: list[Tensor],
        on_gpu: list[OnGpu],
        to_gpu: bool,
    ) -> None:
        if to_gpu and not kind.cuda:
            raise NotImplementedError(f"Could not run '{func.name()}' with arguments from the 'CUDA' backend")
        generator = kwargs.get("generator")
        if to_gpu and generator is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        if to_gpu and name in _NONDETERMINISTIC and torch.are_deterministic_algorithms_enabled():
            raise RuntimeError(f"{name}_cuda does not have a deterministic implementation, but you set …")
        makes_another = name.startswith("new_") or name.endswith("_like")
        if name not in _COPIES and not makes_another and len(on_gpu) < len(tensors):
            self._check_devices(name, kind, args, tensors)
        self._check_kernel(name, args, tensors)

    @staticmethod
    def _check_devices(name: str, kind: Traits, args: Sequence[Any], tensors: list[Tensor]) -> None:
        if name in _INDEXED:
            target, rest = args[0], args[2:]
            if not isinstance(target, OnGpu):
                raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
            strangers = [each for each in rest if isinstance(each, Tensor) and not isinstance(each, OnGpu)]
        else:
            strangers = [each for each in tensors if not isinstance(each, OnGpu)]
        scalars_pass = kind.pointwise or name in _SCALARS_PASS or name in _INDEXED
        written = isinstance(args[0], Tensor) and not isinstance(args[0], OnGpu) and kind.written != (None,)
        if strangers and (not scalars_pass or written or any(each.ndim for each in strangers)):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"(when checking arguments of {name})"
            )

    @staticmethod
    def _check_kernel(name: str, args: Sequence[Any], tensors: list[Tensor]) -> None:
        if name == "_cdist_forward" and args[0].shape[-2] * args[1].shape[-2] > _INT_MAX:
            raise RuntimeError("CUDA error: invalid configuration argument (cdist starts a block for each pair)")
        if name == "_pdist_forward" and args[0].shape[0] ** 2 // 2 > _INT_MAX:
            raise RuntimeError("CUDA error: invalid configuration argument (pdist starts a block for each pair)")
        if name == "nonzero" and args[0].numel() > _INT_MAX:
            raise RuntimeError("nonzero is not supported for tensors with more than INT_MAX elements")
        if name in ("_upsample_bilinear2d_aa", "upsample_bilinear2d") and args[0].dtype == torch.uint8:
            raise RuntimeError(f"\"{name}_out_frame\" not implemented for 'Byte'")
        if name.startswith("_fused_"):
            lists = [each for each in args if isinstance(each, (list, tuple)) and each and isinstance(each[0], Tensor)]
            for same in zip(*(each for each in lists if len(each) == len(lists[0]) and each[0].ndim), strict=True):
                if len({_strides(each) for each in same}) > 1:
                    raise RuntimeError("params, grads and state of a fused optimiser must have the same layout")

    # --- what a GPU waits for

    def _count(
        self,
        func: Any,
        name: str,
        kind: Traits,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        tensors: list[Tensor],
        to_gpu: bool,
    ) -> None:
        self.dtypes.add((func.name(), tuple(each.dtype for each in tensors)))
        if name in ("_to_copy", "copy_"):
            self._count_copy(name, args, kwargs, to_gpu)
            return
        wide = kwargs.get("dtype")
        if name == "sum" and wide not in (None, args[0].dtype):
            self.memory.borrow(args[0].numel() * wide.itemsize)  # a copy of what it sums, within the operation
        if name == "_local_scalar_dense":
            self._wait("item")
        elif name == "equal":
            self._wait("equal")
            self._launch(name)
        elif name in _SIZED_BY_VALUES or (name == "repeat_interleave" and kwargs.get("output_size") is None):
            self._wait(name)
        elif name in _INDEXED:
            self._count_indices(args)
        elif name in ("convolution", "convolution_backward", "cudnn_convolution") and torch.backends.cudnn.benchmark:
            shapes = tuple((tuple(each.shape), _strides(each), each.dtype) for each in tensors)
            self.phases[self.active[-1]].tuned.add((name, shapes))
        if not kind.view and name not in _EMPTY and name not in _RESHAPE_IN_PLACE:
            self._launch(name)

    def _count_copy(self, name: str, args: Sequence[Any], kwargs: dict[str, Any], to_gpu: bool) -> None:
        source = args[1] if name == "copy_" else args[0]
        target_on_gpu = isinstance(args[0], OnGpu) if name == "copy_" else to_gpu
        asynchronous = bool(kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
        if isinstance(source, OnGpu) and not target_on_gpu:
            self._wait("to host")
        elif not isinstance(source, OnGpu) and target_on_gpu:
            if name == "copy_" and source.ndim == 0:
                self._launch(name)
            elif not (asynchronous and getattr(source, _PINNED, False)):
                self._wait("to device")
        else:
            self._launch(name)

    def _count_indices(self, args: Sequence[Any]) -> None:
        indices = [each for each in args[1] if each is not None]
        masks = [each for each in indices if each.dtype in (torch.bool, torch.uint8)]
        value = args[2] if len(args) > 2 else None
        fills = value is not None and value.numel() == 1 and (not isinstance(value, OnGpu) or value.scalar)
        if masks and not (fills and len(indices) == 1):
            self._wait("mask")
        if any(not isinstance(each, OnGpu) for each in indices):
            self._wait("to device")

    # --- Python's side

    def function(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Called for every function of torch before it is parsed."""
        special = _SPECIAL.get(func)
        if special is not None and (result := special(self, *args, **kwargs)) is not NotImplemented:
            return result
        if "device" in kwargs:
            kwargs = {**kwargs, "device": self.pretended(kwargs["device"])}
        if func is torch.Tensor.to and len(args) > 1 and not isinstance(args[1], (Tensor, torch.dtype)):
            args = (args[0], self.pretended(args[1]), *args[2:])
        if self.compute_bf16 and func in _IN_BF16:
            args, kwargs = tree_map_only(Tensor, _halved, (tuple(args), kwargs))
        return func(*args, **kwargs)

    @contextlib.contextmanager
    def _autocast(self, device_type: str, dtype: torch.dtype = torch.bfloat16, enabled: bool = True, **_: Any) -> Any:
        """bfloat16 for convolutions and matrix products."""
        before, self.compute_bf16 = self.compute_bf16, enabled and dtype == torch.bfloat16
        try:
            yield
        finally:
            self.compute_bf16 = before

    def _load(self, file: Any, map_location: Any = None, **options: Any) -> Any:
        where = self.pretended(map_location) if map_location is not None else None
        state = _load(file, map_location="cpu", **options)
        if where == META:
            state = tree_map_only(Tensor, lambda each: each.to(self.device()), state)
        return state

    def _pin_batch(self, data: Any, device: Any = None) -> Any:
        def pin(tensor: Tensor) -> Tensor:
            if isinstance(tensor, OnGpu):
                raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
            setattr(tensor, _PINNED, True)
            return tensor

        return tree_map_only(Tensor, pin, data)


def _batch_norm_stats(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    wide = x.float().transpose(0, 1).flatten(1)
    return wide.mean(1), (wide.var(1, correction=0) + eps).rsqrt()


def _batch_norm_elemt(x: Tensor, weight: Any, bias: Any, mean: Tensor, invstd: Tensor, eps: float) -> Tensor:
    shape = (1, -1, *[1] * (x.ndim - 2))
    y = (x.float() - mean.view(shape)) * invstd.view(shape)
    return (y * weight.view(shape) + bias.view(shape) if weight is not None else y).to(x.dtype)


def _batch_norm_gather_stats_with_counts(
    x: Tensor, means: Tensor, invstds: Tensor, running_mean: Any, running_var: Any, momentum: float, eps: float,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As the CUDA kernel does it: one value in all gives a variance of 0 / 0."""
    mean, squares, n = torch.zeros_like(means[0]), torch.zeros_like(means[0]), torch.zeros(())
    for count, m, invstd in zip(counts, means, invstds, strict=True):
        v = (invstd.reciprocal().square() - eps) * count
        squares += v + (mean - m).square() * n * count / (n + count)
        mean = n / (n + count) * mean + count / (n + count) * m
        n = n + count
    if running_mean is not None:
        running_mean.mul_(1 - momentum).add_(mean, alpha=momentum)
        running_var.mul_(1 - momentum).add_(squares / (n - 1), alpha=momentum)
    return mean, (squares / n + eps).rsqrt()


def _batch_norm_backward_reduce(
    grad: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight: Any, *_: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g, centred = (each.float().transpose(0, 1).flatten(1) for each in (grad, x))
    along = (g * (centred - mean[:, None])).sum(1)
    return g.sum(1), along, along * invstd, g.sum(1)


def _batch_norm_backward_elemt(
    grad: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight: Any, sum_dy: Tensor, sum_dy_xmu: Tensor,
    count: Tensor,
) -> Tensor:  # fmt: skip
    shape, n = (1, -1, *[1] * (x.ndim - 2)), count.sum()
    centred = x.float() - mean.view(shape)
    scale = invstd if weight is None else invstd * weight
    inner = grad.float() - (sum_dy / n).view(shape) - centred * (invstd.square() * sum_dy_xmu / n).view(shape)
    return (inner * scale.view(shape)).to(x.dtype)


_ONLY_ON_GPUS = {
    "batch_norm_stats": _batch_norm_stats,
    "batch_norm_elemt": _batch_norm_elemt,
    "batch_norm_gather_stats_with_counts": _batch_norm_gather_stats_with_counts,
    "batch_norm_backward_reduce": _batch_norm_backward_reduce,
    "batch_norm_backward_elemt": _batch_norm_backward_elemt,
}  # operations that synchronised batch normalisation takes, and that CPUs lack
_load, _profile = torch.load, torch.profiler.profiler._KinetoProfile.__init__


def _profile_on_cpu(self: Any, *, activities: Any = None, **options: Any) -> None:
    """A profiler that does not ask for the driver."""
    _profile(self, activities=[torch.profiler.ProfilerActivity.CPU], **options)


class _Dispatch(TorchDispatchMode):
    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.gpu.dispatch(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.gpu.function(func, args, kwargs or {})


def _strides(tensor: Tensor) -> tuple[int, ...]:
    return tuple(stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size != 1)


def _halved(tensor: Tensor) -> Tensor:
    return tensor.to(torch.bfloat16) if tensor.dtype == torch.float32 else tensor


_IN_BF16 = {
    torch.nn.functional.linear, torch.nn.functional.conv2d, torch.conv2d, torch.matmul, torch.mm, torch.bmm,
    torch.addmm, torch.einsum, torch.Tensor.matmul, torch.Tensor.mm,
}  # fmt: skip


def _only(on_gpu: Any) -> Any:
    """What a method does on the GPU; elsewhere it does what it always does."""

    def special(gpu: PretendedGpu, self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return on_gpu(gpu, self, *args, **kwargs) if isinstance(self, OnGpu) else NotImplemented

    return special


def _refuse_numpy(gpu: PretendedGpu, self: Tensor, *args: Any, **kwargs: Any) -> Any:
    raise TypeError(
        "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
    )


def _pin(gpu: PretendedGpu, self: Tensor, device: Any = None) -> Any:
    if isinstance(self, OnGpu):
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    pinned = self if getattr(self, _PINNED, False) else self.clone()
    setattr(pinned, _PINNED, True)
    return pinned


def _tensor(gpu: PretendedGpu, data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Any:
    if isinstance(data, OnGpu) or gpu.pretended(device) != META:
        return NotImplemented
    return torch.tensor(data, *args, **kwargs).to(META)


def _as_tensor(gpu: PretendedGpu, data: Any, dtype: Any = None, device: Any = None) -> Any:
    if isinstance(data, Tensor) or gpu.pretended(device) != META:
        return NotImplemented
    return torch.as_tensor(data, dtype=dtype).to(META)


def _new_tensor(
    gpu: PretendedGpu, self: Tensor, data: Any, dtype: Any = None, device: Any = None, **kwargs: Any
) -> Any:
    where = META if device is None else gpu.pretended(device)
    return torch.tensor(data, dtype=dtype or self.dtype, **kwargs).to(where)


def _indices(index: Any) -> Any:
    """Lists and arrays as tensors on the CPU, from where a GPU takes them too."""
    if isinstance(index, tuple):
        return tuple(_indices(each) for each in index)
    if isinstance(index, list) or (type(index).__module__ == "numpy" and getattr(index, "ndim", 0)):
        tensor = torch.as_tensor(index)
        return tensor.long() if tensor.numel() == 0 else tensor
    return index


def _set_data(gpu: PretendedGpu, self: Tensor, value: Tensor) -> Any:
    """What ``parameter.data = …`` does: the tensor stands for other values, of another layout."""
    torch.Tensor.data.__set__(self, value)
    if isinstance(self, OnGpu) and isinstance(value, OnGpu):
        if hasattr(self, "untrack"):
            self.untrack()
        self.inner = value.inner
        gpu.memory.track(self)


def _get_item(gpu: PretendedGpu, self: Tensor, index: Any) -> Any:
    return torch.Tensor.__getitem__(self, _indices(index))


def _set_item(gpu: PretendedGpu, self: Tensor, index: Any, value: Any) -> Any:
    return torch.Tensor.__setitem__(self, _indices(index), value)


_SPECIAL: dict[Any, Any] = {
    torch.Tensor.device.__get__: _only(lambda gpu, self: gpu.device()),
    torch.Tensor.is_cuda.__get__: _only(lambda gpu, self: True),
    torch.Tensor.is_meta.__get__: _only(lambda gpu, self: False),
    torch.Tensor.get_device: _only(lambda gpu, self: gpu.index),
    torch.Tensor.numpy: _only(_refuse_numpy),
    torch.Tensor.__array__: _only(_refuse_numpy),
    torch.Tensor.pin_memory: _pin,
    torch.Tensor.is_pinned: lambda gpu, self, device=None: getattr(self, _PINNED, False),
    torch.Tensor.tolist: _only(lambda gpu, self: self.to("cpu").tolist()),
    torch.Tensor.cuda: lambda gpu, self, *args, **kwargs: self.to(META),
    torch.Tensor.new_tensor: _only(_new_tensor),
    torch.Tensor.data.__set__: _set_data,
    torch.Tensor.__getitem__: _only(_get_item),
    torch.Tensor.__setitem__: _only(_set_item),
    torch.Tensor.__reduce_ex__: _only(lambda gpu, self, protocol: self.inner.__reduce_ex__(protocol)),
    torch.tensor: _tensor,
    torch.as_tensor: _as_tensor,
}
