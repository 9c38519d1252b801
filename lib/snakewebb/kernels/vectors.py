"""Sums of a few numbers that lie side by side, at once, as compilers do not find by themselves."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload


def add_multiple(cells, place, factor, terms, k, planes):
    """Add a multiple of the numbers of a row to those of a cell; of the sixth by its square.

    Parameters
    ----------
    cells : (h, w, m) float64
        m is twice the number of ``planes``.
    place : int
        Of the cell, in C order.
    factor : float
    terms : (n, m) float64
    k : int
        The row.
    planes : tuple
    """
    cell, row = cells.reshape(-1, cells.shape[-1])[place], terms[k]
    cell += factor * row
    if len(planes) > 1:
        cell[5] += factor * (factor - 1.0) * row[5]


@intrinsic
def _add_multiple(typing, cells, place, factor, terms, k, planes):
    """Do so in registers as long as a cell."""
    lanes = 2 * len(planes)
    signature = types.void(cells, types.int64, types.float64, terms, types.int64, planes)

    def code(context, builder, signature, arguments):
        vector = ir.VectorType(ir.DoubleType(), lanes)
        index = ir.IntType(32)

        def pointer(which, number):
            array = context.make_array(signature.args[which])(context, builder, arguments[which])
            first = builder.gep(array.data, [builder.mul(number, number.type(lanes))])
            return builder.bitcast(first, vector.as_pointer())

        target, factor = pointer(0, arguments[1]), arguments[2]
        nothing = ir.Constant(vector, ir.Undefined)
        factors = builder.insert_element(nothing, factor, index(0))
        same = ir.Constant(ir.VectorType(index, lanes), [0] * lanes)
        factors = builder.shuffle_vector(factors, nothing, same)
        if lanes > 5:
            factors = builder.insert_element(factors, builder.fmul(factor, factor), index(5))
        row = builder.load(pointer(3, arguments[4]), align=8)
        cell = builder.load(target, align=8)
        builder.store(builder.fadd(cell, builder.fmul(factors, row)), target, align=8)
        return context.get_dummy_value()

    return signature, code


@overload(add_multiple, inline="always")
def _overload(cells, place, factor, terms, k, planes):
    def add(cells, place, factor, terms, k, planes):
        _add_multiple(cells, place, factor, terms, k, planes)

    return add
