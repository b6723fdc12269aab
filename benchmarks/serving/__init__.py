"""The serving path beside its contenders."""
