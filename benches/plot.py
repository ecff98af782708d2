"""Plots of a report, one for each section: bars of the ratios, with the quartiles. Needs matplotlib."""

import pathlib
from collections.abc import Mapping
from typing import Any

from . import report as reports

COLOURS = {"uvloop": "#9e9e9e", "ferrio-loop": "#f0a35e", "ferrio": "#c1440e"}


def draw(report: Mapping[str, Any], directory: pathlib.Path) -> list[pathlib.Path]:
    """Writes the plots and returns their paths."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    written = []
    for section, names in reports.sections(report["figures"]).items():
        implementations = [name for name in report["figures"][names[0]] if name != reports.STOCK]
        height = 0.8 / max(len(implementations), 1)
        figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.28 * len(names) * max(len(implementations), 2)))
        for index, implementation in enumerate(implementations):
            rows = [(row, reports.ratios(report["figures"][name])[implementation]) for row, name in enumerate(names)]
            good = [(row, ratio) for row, ratio in rows if ratio]
            axes.barh(
                [row + (index - (len(implementations) - 1) / 2) * height for row, _ in good],
                [ratio.middle for _, ratio in good],
                height,
                xerr=[
                    [ratio.middle - ratio.low for _, ratio in good],
                    [ratio.high - ratio.middle for _, ratio in good],
                ],
                color=COLOURS.get(implementation),
                error_kw={"elinewidth": 1},
                label=implementation,
            )
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(names)), [name.partition(".")[2].replace("_", " ") for name in names])
        axes.invert_yaxis()
        smoke = f" ({reports.SMOKE_TEST})" if report["rounds"] < reports.ENOUGH_ROUNDS else ""
        axes.set_xlabel(f"times as fast as stock asyncio{smoke}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(implementations) or 1)
        path = directory / f"{section}.svg"
        figure.savefig(path, bbox_inches="tight")
        pyplot.close(figure)
        written.append(path)
    return written
