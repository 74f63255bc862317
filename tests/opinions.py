"""A small data set of three labels, for runs of a second."""

from pathlib import Path

OPINIONS = {"好": "房间干净，服务热情", "差": "早餐难吃，隔音太差", "中": "位置一般，酒店不错"}


def write_opinions(path: Path, count: int = 8) -> Path:
    """Write a CSV file with so many rows of each label, and return its path."""
    rows = [f"{text}{number},{label}" for number in range(count) for label, text in OPINIONS.items()]
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return path
