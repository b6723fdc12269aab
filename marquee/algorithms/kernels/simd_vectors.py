"""SIMD vectors with a fixed number of lanes, for sums whose bits must not depend on the processor.

A compiler that may reorder a sum chooses the order by the width of the processor's registers. Here the order
is explicit: a vector has `VECTOR_BYTES` bytes on every processor, and a processor with narrower registers
splits it. Every operation rounds once, as the scalar operation does; no multiplication is fused with an
addition.

Numbers are loaded from a `Row`, the address of a row of a matrix, or from a one-dimensional array. Both must
be contiguous, and nothing checks bounds. A view of a row (`matrix[i]`) would count its references, which in
an inner loop costs more than the arithmetic.

Numba recompiles a cached kernel only if the kernel's own file changes: after a change here, delete the
compiled kernels in `__pycache__`.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.core import errors
from numba.extending import intrinsic, models, register_model

from marquee.algorithms.kernels.jit import kernel

cgutils: Any = untyped_cgutils
VECTOR_BYTES = 32  # 8 lanes of float32, 4 of float64
BITS_PER_BYTE = 8
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


class Vector(types.Type):
    """Numba's type of a vector of floats."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.lanes = dtype, VECTOR_BYTES * BITS_PER_BYTE // dtype.bitwidth
        super().__init__(name=f"Vector({dtype})")


class Row(types.Type):
    """Numba's type of the address of a row of floats."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Row({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        vector = ir.VectorType(_number_type(kind), kind.lanes)
        super().__init__(manager, kind, vector)  # type: ignore[no-untyped-call]


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        address = ir.PointerType(_number_type(kind))
        super().__init__(manager, kind, address)  # type: ignore[no-untyped-call]


def _row_of(_: Any, matrix: Any, index: Any) -> Any:
    """Return a row of a matrix."""
    _require_contiguous(matrix)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(matrix)(context, builder, arguments[0])
        number = context.cast(builder, arguments[1], signature.args[1], types.intp)
        stride = cgutils.unpack_tuple(builder, array.strides)[0]
        start = builder.add(builder.ptrtoint(array.data, _INT64), builder.mul(number, stride))
        return builder.inttoptr(start, context.get_value_type(signature.return_type))

    return Row(matrix.dtype)(matrix, index), generate


def _number(_: Any, row: Any, position: Any) -> Any:
    """Return one number of a row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature, arguments))

    return row.dtype(row, position), generate


def _load(_: Any, row: Any, start: Any) -> Any:
    """Load a vector of the numbers from `start` on."""
    _require_contiguous(row)
    vector = Vector(row.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        place = builder.bitcast(address, ir.PointerType(context.get_value_type(vector)))
        return builder.load(place, align=row.dtype.bitwidth // BITS_PER_BYTE)

    return vector(row, start), generate


def _load_repeated(_: Any, row: Any, position: Any) -> Any:
    """Load one number into every lane of a vector."""
    _require_contiguous(row)
    vector = Vector(row.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = builder.load(_address(context, builder, signature, arguments))
        return _repeated(builder, number, context.get_value_type(vector))

    return vector(row, position), generate


def _store(_: Any, row: Any, start: Any, vector: Any) -> Any:
    """Write a vector from `start` on."""
    _require_contiguous(row)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature, arguments)
        place = builder.bitcast(address, ir.PointerType(context.get_value_type(vector)))
        builder.store(arguments[2], place, align=row.dtype.bitwidth // BITS_PER_BYTE)
        return context.get_dummy_value()

    return types.void(row, start, vector), generate


def _set_number(_: Any, row: Any, position: Any, number: Any) -> Any:
    """Write one number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = context.cast(builder, arguments[2], number, row.dtype)
        builder.store(value, _address(context, builder, signature, arguments))
        return context.get_dummy_value()

    return types.void(row, position, number), generate


def _lanes_of(_: Any, row: Any) -> Any:
    """Return the number of lanes of the vectors that a row is loaded into."""

    def generate(_: Any, __: Any, ___: Any, ____: Any) -> Any:
        return ir.Constant(_INT64, Vector(row.dtype).lanes)

    return types.intp(row), generate


def _zeros(_: Any, row: Any) -> Any:
    """Return a vector of zeros of the same type as those loaded from a row."""
    vector = Vector(row.dtype)

    def generate(context: Any, _: Any, __: Any, ___: Any) -> Any:
        return ir.Constant(context.get_value_type(vector), [0.0] * vector.lanes)

    return vector(row), generate


def _repeat(_: Any, number: Any) -> Any:
    """Return a vector with the same number in every lane."""
    vector = Vector(number)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return _repeated(builder, arguments[0], context.get_value_type(vector))

    return vector(number), generate


def _multiply_add(_: Any, a: Any, b: Any, total: Any) -> Any:
    """Return total + a b, rounded twice."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.fadd(arguments[2], builder.fmul(arguments[0], arguments[1]))

    return total(a, b, total), generate


def _multiply_subtract(_: Any, a: Any, b: Any, total: Any) -> Any:
    """Return total - a b, rounded twice."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.fsub(arguments[2], builder.fmul(arguments[0], arguments[1]))

    return total(a, b, total), generate


def _add(_: Any, a: Any, b: Any) -> Any:
    """Return a + b."""
    return a(a, b), lambda _, builder, __, arguments: builder.fadd(*arguments)


def _multiply(_: Any, a: Any, b: Any) -> Any:
    """Return a b."""
    return a(a, b), lambda _, builder, __, arguments: builder.fmul(*arguments)


def _inverse_root(_: Any, a: Any) -> Any:
    """Return 1 / sqrt(a)."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        kind = context.get_value_type(a)
        name = f"llvm.sqrt.v{a.lanes}f{a.dtype.bitwidth}"
        root = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.fdiv(ir.Constant(kind, [1.0] * a.lanes), builder.call(root, arguments))

    return a(a), generate


def _keep_above(_: Any, a: Any, bound: Any) -> Any:
    """Return the lanes of a that are greater than those of a bound, and 0 in the others."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        zero = ir.Constant(context.get_value_type(a), [0.0] * a.lanes)
        return builder.select(builder.fcmp_ordered(">", *arguments), arguments[0], zero)

    return a(a, bound), generate


def _where_known(_: Any, condition: Any, a: Any) -> Any:
    """Return the lanes of a where those of a condition are numbers, and 0 where they are NaN."""

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        zero = ir.Constant(context.get_value_type(a), [0.0] * a.lanes)
        is_number = builder.fcmp_ordered("ord", arguments[0], arguments[0])
        return builder.select(is_number, arguments[1], zero)

    return a(condition, a), generate


def _sum_lanes(_: Any, a: Any) -> Any:
    """Return the sum of the lanes: the upper half is added to the lower one until one lane is left."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        (vector,), width = arguments, a.lanes // 2
        while width:
            lower, upper = (_lanes(builder, vector, first, width) for first in (0, width))
            vector, width = builder.fadd(lower, upper), width // 2
        return builder.extract_element(vector, ir.Constant(_INT32, 0))

    return a.dtype(a), generate


def _require_contiguous(kind: Any) -> None:
    """Raise TypingError for an array whose numbers are not contiguous in memory."""
    if isinstance(kind, types.Array) and kind.layout != "C":
        raise errors.TypingError(f"{kind} is not contiguous: copy it with numpy.ascontiguousarray")


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return the address of a position (the second argument) in a row (the first)."""
    row, position = signature.args[:2]
    start = arguments[0]
    if not isinstance(row, Row):
        start = context.make_array(row)(context, builder, start).data
    return builder.gep(start, [context.cast(builder, arguments[1], position, types.intp)])


def _number_type(kind: Any) -> Any:
    return ir.DoubleType() if kind.dtype == types.float64 else ir.FloatType()


def _repeated(builder: Any, number: Any, kind: Any) -> Any:
    unset = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(unset, number, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, unset, ir.Constant(ir.VectorType(_INT32, kind.count), None))


def _lanes(builder: Any, vector: Any, first: int, width: int) -> Any:
    places = ir.Constant(ir.VectorType(_INT32, width), list(range(first, first + width)))
    return builder.shuffle_vector(vector, vector, places)


row_of: Any = intrinsic(_row_of)
number: Any = intrinsic(_number)
set_number: Any = intrinsic(_set_number)
load: Any = intrinsic(_load)
load_repeated: Any = intrinsic(_load_repeated)
store: Any = intrinsic(_store)
lanes_of: Any = intrinsic(_lanes_of)
zeros: Any = intrinsic(_zeros)
repeat: Any = intrinsic(_repeat)
multiply_add: Any = intrinsic(_multiply_add)
multiply_subtract: Any = intrinsic(_multiply_subtract)
add: Any = intrinsic(_add)
multiply: Any = intrinsic(_multiply)
inverse_root: Any = intrinsic(_inverse_root)
keep_above: Any = intrinsic(_keep_above)
where_known: Any = intrinsic(_where_known)
sum_lanes: Any = intrinsic(_sum_lanes)


@kernel
def dot(a: Any, b: Any, n: int) -> Any:
    """Dot product of the first n numbers of two rows: two vectors of sums, then the rest one by one."""
    lanes = lanes_of(a)
    pair_end, vector_end = n // (2 * lanes) * (2 * lanes), n // lanes * lanes
    even = odd = zeros(a)
    for f in range(0, pair_end, 2 * lanes):
        even = multiply_add(load(a, f), load(b, f), even)
        odd = multiply_add(load(a, f + lanes), load(b, f + lanes), odd)
    if pair_end < vector_end:
        even = multiply_add(load(a, pair_end), load(b, pair_end), even)
    result = sum_lanes(add(even, odd))
    for f in range(vector_end, n):
        result += number(a, f) * number(b, f)
    return result
