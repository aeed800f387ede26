"""A small made-up table to begin with: orders of a shop, and whether they came back. The same seed gives the same rows."""

from __future__ import annotations

import csv
import io
import math
import random
from datetime import datetime, timedelta

NAME = "orders.csv"
ROWS = 1200
DAYS = 120


def orders(now: datetime, *, rows: int = ROWS) -> str:
    """Return the table as CSV: `rows` orders of the 120 days before `now`, with gaps, the last column whether it came back.

    Example:
        >>> from datetime import UTC
        >>> orders(datetime(2024, 5, 1, tzinfo=UTC), rows=60).splitlines()[0]
        'order_id,ordered_at,country,channel,category,price,discount,items,is_gift,delivery_days,returned'
    """
    draw = random.Random(8)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["order_id", "ordered_at", "country", "channel", "category", "price", "discount", "items", "is_gift",
                     "delivery_days", "returned"])  # fmt: skip
    start = now.replace(second=0, microsecond=0, tzinfo=None) - timedelta(days=DAYS)
    for number in range(rows):
        ordered = start + timedelta(days=(DAYS - 1) * number / rows, minutes=draw.randrange(600))
        category = draw.choices(["shoes", "clothes", "books", "garden"], [3, 4, 2, 1])[0]
        price = round(math.exp(draw.gauss(3.6, 0.7)), 2)
        discount = draw.choice([0, 0, 0, 10, 20, 30])
        items, gift, days = draw.choice([1, 1, 1, 2, 3, 5]), draw.random() < 0.15, draw.randrange(1, 9)
        strength = (
            -2.6 + {"shoes": 1.3, "clothes": 1.0}.get(category, -0.6) + 0.03 * discount + 0.15 * days + 0.2 * items
        )
        is_returned = draw.random() < 1 / (1 + math.exp(-strength - (0.5 if price > 60 else 0) + (1.2 if gift else 0)))
        writer.writerow([
            f"o-{number + 1:05}", ordered.isoformat(timespec="minutes"), draw.choice(["BR", "PT", "ES", "DE", "FR"]),
            draw.choice(["web", "app", "shop"]) if draw.random() > 0.05 else "", category, price,
            discount if draw.random() > 0.1 else "", items, str(gift).lower(), days if draw.random() > 0.07 else "",
            "yes" if is_returned else "no",
        ])  # fmt: skip
    return out.getvalue()
