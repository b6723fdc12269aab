"""Compiled kernels: loops over arrays and scalars. The only package that imports Numba."""
