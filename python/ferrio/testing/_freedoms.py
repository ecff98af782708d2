"""Which freedoms an exploration has: the bits of `Simulation`, the weakest assumption first."""

ARRIVAL, STALL, TIE, SET, LATENCY, ANY = (1 << bit for bit in range(6))

NAMES = {"arrival": ARRIVAL, "stall": STALL, "tie": TIE, "set": SET, "latency": LATENCY, "any": ANY}

_ORDERS: dict[str, int] = {
    "loop": ARRIVAL | STALL,
    "contract": ARRIVAL | STALL | TIE | SET,
    "any": ARRIVAL | STALL | TIE | SET | ANY,
}

# The weakest set that explains a finding is the first of these in which a search finds it too.
LADDER = (
    0,
    ARRIVAL,
    ARRIVAL | STALL,
    ARRIVAL | STALL | TIE,
    ARRIVAL | STALL | TIE | SET,
    ARRIVAL | STALL | TIE | SET | LATENCY,
    ARRIVAL | STALL | TIE | SET | LATENCY | ANY,
)

SENTENCES = {
    0: "happens in every run, also in the undisturbed one",
    ARRIVAL: "happens if what other threads and the network do arrives in this order",
    STALL: "happens if the loop is held up",
    TIE: "happens only if two equal sleeps tie: asyncio does not define the order of timers with equal deadlines",
    SET: "happens if a set of tasks is iterated in another order than they were made in, as it may be in a process",
    LATENCY: "happens if a sleep stands for I/O that takes longer",
    ANY: "happens only if callbacks that are ready run in another order than they were scheduled, which no loop does",
}


def freedoms(order: str, sleeps: str, stall: float) -> int:
    """The bits for the arguments of `explore`."""
    if order not in _ORDERS:
        raise ValueError(f"order is 'loop', 'contract' or 'any', not {order!r}")
    if sleeps not in ("exact", "io"):
        raise ValueError(f"sleeps is 'exact' or 'io', not {sleeps!r}")
    if not 0 <= stall < float("inf"):
        raise ValueError(f"stall is a number of seconds, not {stall!r}")
    bits = _ORDERS[order]
    if sleeps == "io":
        bits |= LATENCY
    if stall == 0:
        bits &= ~STALL
    return bits


def strongest(bits: int) -> int:
    """The strongest freedom in a set; 0 for none."""
    return 1 << bits.bit_length() - 1 if bits else 0


def name(freedom: int) -> str:
    """The name of one freedom; `always` for none."""
    return next((name for name, bit in NAMES.items() if bit == freedom), "always")
