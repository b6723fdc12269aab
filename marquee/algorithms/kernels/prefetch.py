"""Prefetch hints: ask the processor to load numbers into its cache before they are used.

A hint has no effect on results.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.extending import intrinsic

cgutils: Any = untyped_cgutils
CACHE_LINE = 64  # bytes
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_WRITE, _HIGH_LOCALITY, _DATA = (ir.Constant(_INT32, value) for value in (1, 3, 1))


def _prefetch_row(_: Any, matrix: Any, row: Any) -> Any:
    """Start to load row `row` of a two-dimensional array for writing.

    The processor cannot predict the order in which item factors are used. If they exceed its L2 cache,
    prefetching them some ratings ahead shortens an epoch by a third.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, arguments[0])
        number = context.cast(builder, arguments[1], signature.args[1], types.intp)
        row_bytes, item_bytes = cgutils.unpack_tuple(builder, array.strides)
        width = builder.mul(cgutils.unpack_tuple(builder, array.shape)[1], item_bytes)
        start = builder.add(builder.ptrtoint(array.data, _INT64), builder.mul(number, row_bytes))
        zero, step = ir.Constant(_INT64, 0), ir.Constant(_INT64, CACHE_LINE)
        with cgutils.for_range_slice(builder, zero, width, step) as (offset, _count):
            _prefetch_line(builder, builder.add(start, offset))
        return context.get_dummy_value()

    return types.void(matrix, row), generate


def _prefetch_number(_: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Start to load the cache line of one number of a two-dimensional array for writing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(matrix)(context, builder, arguments[0])
        address = builder.ptrtoint(array.data, _INT64)
        strides = cgutils.unpack_tuple(builder, array.strides)
        for index, kind, stride in zip(arguments[1:], signature.args[1:], strides, strict=True):
            address = builder.add(
                address, builder.mul(context.cast(builder, index, kind, types.intp), stride)
            )
        _prefetch_line(builder, address)
        return context.get_dummy_value()

    return types.void(matrix, row, column), generate


def _prefetch_line(builder: Any, address: Any) -> None:
    """Generate the hint for the cache line at an address."""
    pointer = ir.PointerType(ir.IntType(8))
    hint = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [pointer, _INT32, _INT32, _INT32]),
        "llvm.prefetch.p0",
    )
    builder.call(hint, [builder.inttoptr(address, pointer), _WRITE, _HIGH_LOCALITY, _DATA])


prefetch_row: Any = intrinsic(_prefetch_row)
prefetch_number: Any = intrinsic(_prefetch_number)
