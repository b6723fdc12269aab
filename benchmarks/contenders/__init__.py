"""Contenders of the serving benchmark: simple servers to compare with Marquee's."""
