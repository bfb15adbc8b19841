#!/usr/bin/env python3
"""Asks a Prometheus for every query of the dashboards, fails when one has no answer, and draws what it has.

    panels.py --prometheus http://127.0.0.1:9090 --out FOLDER [--seconds 120]

Flow: each dashboard's JSON → its variables filled in → one range query per target → an HTML page per dashboard with an
inline picture per panel → a screenshot of each page, where Chromium is installed. Uses the standard library alone.

A target is empty when none of its series has a number: NaN is what a quantile of nothing is.
"""

import argparse
import html
import json
import math
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

STEP_S = 5
WIDTH_PX, UNIT_PX, GAP_PX = 1600, 34, 8
# Readable on white for everybody: Okabe and Ito, without their yellow.
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f7f", "#000000"]
TRAFFIC_LIGHT = {"green": "#1a7f37", "orange": "#b35900", "red": "#c62828"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("--prometheus", required=True)
    arguments.add_argument("--out", required=True, type=pathlib.Path)
    arguments.add_argument("--seconds", type=int, default=120)
    options = arguments.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(__file__).resolve().parents[1] / "observability" / "dashboards"
    empty, panels = [], 0
    for path in sorted(folder.glob("*.json")):
        dashboard = json.loads(path.read_text())
        answers = {panel["id"]: ask(options, panel) for panel in dashboard["panels"]}
        panels += len(answers)
        for panel in dashboard["panels"]:
            for target, series in zip(panel["targets"], answers[panel["id"]], strict=True):
                if not series:
                    empty.append(f"{dashboard['title']} / {panel['title']}: {target['expr']}")
        page = options.out / f"{path.stem}.html"
        page.write_text(draw(dashboard, answers))
        photograph(page, height_of(dashboard))
    for line in empty:
        print(f"empty: {line}", file=sys.stderr)
    print(f"{panels} panels, {len(empty)} empty queries; drawn in {options.out}")
    sys.exit(1 if empty else 0)


# What Prometheus says.


def ask(options, panel):
    """The series of each target of a panel: a list of (legend, [(time, value)]) without what is not a number."""
    return [query(options, target) for target in panel["targets"]]


def query(options, target):
    expression = target["expr"]
    variables = {"$instance": ".*", "$__rate_interval": "1m", "$__range": f"{options.seconds}s"}
    for name, value in variables.items():
        expression = expression.replace(name, value)
    now = time.time()
    parameters = {"query": expression, "start": now - options.seconds, "end": now, "step": STEP_S}
    url = f"{options.prometheus}/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            result = json.load(response)["data"]["result"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{expression}\n  {error.read().decode()}")
    series = []
    for one in result:
        points = [(at, float(value)) for at, value in one["values"] if math.isfinite(float(value))]
        if points:
            series.append((legend(target, one["metric"]), points))
    return series


def legend(target, labels):
    text = target["legendFormat"] or target["refId"]
    for name, value in labels.items():
        text = text.replace("{{" + name + "}}", value)
    return text


# How it looks.


def number(value, unit, decimals=None):
    value += 0.0  # -0 is 0
    if unit == "percentunit":
        return f"{value * 100:.3g} %" if decimals is None else f"{value * 100:.{decimals}f} %"
    if unit == "s":
        if value == 0:
            return "0 s"
        for limit, factor, name in [(1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min")]:
            if abs(value) < limit:
                return f"{value * factor:.3g} {name}"
        return f"{value / 3600:.3g} h"
    if unit == "bytes":
        return f"{value / 1048576:.0f} MiB"
    suffix = {"reqps": " req/s", "ops": "/s"}.get(unit, "")
    if decimals is not None:
        return f"{value:.{decimals}f}{suffix}"
    return f"{value:,.0f}{suffix}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}{suffix}"


def colour_of(value, defaults):
    colour = "green"
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return TRAFFIC_LIGHT[colour]


def stat(panel, series, width, height):
    defaults = panel["fieldConfig"]["defaults"]
    name, points = series[0]
    value = points[-1][1]
    text = name if panel["options"].get("textMode") == "name" else number(value, defaults["unit"], defaults.get("decimals"))
    size = min(38, int(1.35 * width / max(len(text), 1)))
    return (
        f'<text x="{width / 2}" y="{height / 2 + size / 3}" font-size="{size}" text-anchor="middle" '
        f'fill="{colour_of(value, defaults)}">{html.escape(text)}</text>'
    )


def stacked(series):
    """Each series on top of those before it."""
    heights, piled = {}, []
    for name, points in series:
        raised = []
        for at, value in points:
            heights[at] = heights.get(at, 0) + value
            raised.append((at, heights[at]))
        piled.append((name, raised))
    return piled


def round_step(rough):
    """The next of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))


def chart(panel, series, width, height):
    defaults = panel["fieldConfig"]["defaults"]
    unit, custom = defaults["unit"], defaults.get("custom", {})
    legend_rows = [f"{name}  {number(points[-1][1], unit)}" for name, points in series]
    pile = "stacking" in custom
    drawn = stacked(series) if pile else series
    left, top, bottom = 64, 6, height - 18 - 15 * math.ceil(len(series) / 2)
    values = [value for _, points in drawn for _, value in points]
    low, high = min(0, *values), max(values)
    lines = [line for line in defaults.get("thresholds", {}).get("steps", []) if line["value"] is not None]
    if "thresholdsStyle" in custom:
        # A line far above everything would flatten the curves.
        high = max([high] + [line["value"] for line in lines if line["value"] <= 4 * high])
    if high <= low:
        high = low + (lines[0]["value"] if lines else 1)
    step = round_step((high - low) / 4)
    low, high = step * math.floor(low / step), step * math.ceil(high / step - 1e-9)
    first = min(at for _, points in drawn for at, _ in points)
    last = max(at for _, points in drawn for at, _ in points)

    def x(at):
        return left + (width - left - 8) * (at - first) / max(last - first, 1)

    def y(value):
        return bottom - (bottom - top) * (value - low) / (high - low)

    parts = []
    for part in range(round((high - low) / step) + 1):
        value = low + step * part
        parts.append(f'<line x1="{left}" x2="{width - 8}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{left - 5}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#666">{number(value, unit)}</text>')
    for at, anchor in [(first, "start"), (last, "end")]:
        clock = time.strftime("%H:%M:%S", time.localtime(at))
        parts.append(f'<text x="{x(at):.1f}" y="{bottom + 13}" text-anchor="{anchor}" fill="#666">{clock}</text>')
    if "thresholdsStyle" in custom:
        for line in lines:
            if low <= line["value"] <= high:
                at = f'y1="{y(line["value"]):.1f}" y2="{y(line["value"]):.1f}"'
                parts.append(f'<line x1="{left}" x2="{width - 8}" {at} stroke="{TRAFFIC_LIGHT[line["color"]]}" stroke-dasharray="5 4"/>')
    for index, (_, points) in reversed(list(enumerate(drawn))):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        if pile:
            area = f"{x(points[0][0]):.1f},{y(0):.1f} {path} {x(points[-1][0]):.1f},{y(0):.1f}"
            parts.append(f'<polygon points="{area}" fill="{colour}" fill-opacity="0.25"/>')
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    for index, row in enumerate(legend_rows):
        at_x, at_y = 8 + (index % 2) * width / 2, bottom + 28 + 15 * (index // 2)
        parts.append(f'<rect x="{at_x}" y="{at_y - 8}" width="10" height="3" fill="{COLOURS[index % len(COLOURS)]}"/>')
        parts.append(f'<text x="{at_x + 15}" y="{at_y - 2}">{html.escape(row)}</text>')
    return "".join(parts)


def height_of(dashboard):
    return 64 + UNIT_PX * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])


def draw(dashboard, answers):
    column = (WIDTH_PX - GAP_PX) / 24
    cards = []
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        width, height = grid["w"] * column - GAP_PX, grid["h"] * UNIT_PX - GAP_PX
        series = [one for target in answers[panel["id"]] for one in target]
        inner = height - 26
        if not series:
            body = f'<text x="{width / 2}" y="{inner / 2}" text-anchor="middle" fill="#c62828" font-size="18">no data</text>'
        elif panel["type"] == "stat":
            body = stat(panel, series, width, inner)
        else:
            body = chart(panel, series, width, inner)
        cards.append(
            f'<div style="left:{GAP_PX + grid["x"] * column:.0f}px;top:{56 + grid["y"] * UNIT_PX}px;width:{width:.0f}px;height:{height}px" '
            f'title="{html.escape(panel["description"])}"><b>{html.escape(panel["title"])}</b>'
            f'<svg width="{width:.0f}" height="{inner}">{body}</svg></div>'
        )
    title = html.escape(dashboard["title"])
    return f"""<!doctype html><meta charset="utf-8"><title>{title}</title><style>
body{{margin:0;background:#f3f4f6;font:12px system-ui,sans-serif;position:relative;height:{height_of(dashboard)}px}}
h1{{margin:0;padding:10px 8px 0;font-size:19px}} p{{margin:2px 8px;color:#555}}
div{{position:absolute;background:#fff;border:1px solid #ddd;border-radius:4px;box-sizing:border-box;overflow:hidden}}
b{{display:block;padding:5px 8px 2px}} svg{{font-size:11px}} text[font-size]{{font-weight:600}}
</style><h1>{title}</h1><p>{html.escape(dashboard["description"])}</p>{"".join(cards)}
"""


def photograph(page, height):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]
    command += [f"--window-size={WIDTH_PX},{height}", f"--screenshot={page.with_suffix('.png')}", page.resolve().as_uri()]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)


if __name__ == "__main__":
    main()
