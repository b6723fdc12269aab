"""`marquee ...`: the commands that a person types."""
def main() -> None:
    """Run."""
