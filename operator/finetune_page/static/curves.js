// Curves of a run: loss, evaluation metrics below it on the same axis, learning rate and gradient norm folded away.

import { h, replace, scrolled, setText, table } from "./dom.js";
import { attemptSpans, AXES, positions, smooth } from "./axis.js";
import { metricName, number } from "./format.js";

const HEIGHT = 220;
const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const colour = (at) => css(COLOURS[at % COLOURS.length]);

// A run has the same colour in every comparison, unless another one's name has taken it.
export function coloursOf(names) {
  const taken = new Map();
  for (const name of [...names].sort()) {
    let at = [...name].reduce((sum, each) => (sum * 31 + each.codePointAt(0)) % 65521, 7) % COLOURS.length;
    while ([...taken.values()].includes(at)) at = (at + 1) % COLOURS.length;
    taken.set(name, at);
  }
  return names.map((name) => colour(taken.get(name)));
}

export function curvesPanel() {
  const chosen = { axis: "step", log: false, smoothing: 0.6 };
  const place = h("div", { class: "plots" });
  const more = h("details", { class: "plots", ontoggle: () => draw() }, h("summary", {}, "Learning rate and gradient norm"));
  const moreplace = h("div", {});
  more.append(moreplace);
  const values = h("details", { ontoggle: () => draw() }, h("summary", {}, "Curves as a table"));
  const tables = scrolled("Curves as a table");
  values.append(tables);
  const axis = h("select", { "aria-label": "Axis", onchange: () => { chosen.axis = axis.value; draw(); } }, AXES.map((each) => h("option", { value: each }, each)));
  const log = h("input", { type: "checkbox", onchange: () => { chosen.log = log.checked; draw(); } });
  const smoothing = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: chosen.smoothing, oninput: () => { chosen.smoothing = Number(smoothing.value); draw(); } });
  const legend = h("span", { class: "muted legend" });
  const bar = h("div", { class: "bar" }, h("label", {}, "axis ", axis), h("label", {}, log, " log scale"), h("label", {}, "smoothing ", smoothing), legend);
  const element = h("section", { class: "curves", "aria-label": "Curves" }, h("h2", {}, "Curves"), bar, place, more, values);
  let runs = [];
  let plots = [];
  let signature = "";
  let seen = "";
  let span = [0, 1];

  // Each run: {name, colour, curves, status}. Plots are kept as long as they have the same series, and get new data.
  function draw() {
    const all = JSON.stringify([chosen, more.open, values.open, runs.map(({ name, curves, status }) => [name, curves, status.attempts, status.checkpoints, status.bestCheckpoint])]);
    if (all === seen && signature) return;
    seen = all;
    const parts = groups(runs);
    const shown = [...parts.main, ...(more.open ? parts.folded : [])];
    span = rangeOf(runs, chosen.axis);
    const ended = runs.every(({ status }) => ["Succeeded", "Failed"].includes(status.phase));
    const now = JSON.stringify([ended, shown.map((each) => [each.title, each.lines.map((line) => line.label)]), chosen.axis, chosen.log, more.open, runs.length]);
    if (now !== signature) {
      signature = now;
      plots.forEach((plot) => plot.destroy());
      replace(place);
      replace(moreplace);
      plots = [...parts.main.map((each) => makePlot(each, place, chosen, runs, () => span)), ...(more.open ? parts.folded.map((each) => makePlot(each, moreplace, chosen, runs, () => span)) : [])];
      if (!parts.main.length) replace(place, h("p", { class: "muted" }, ended ? "No curve: no step was logged." : "No curve yet: it begins with the first logged step."));
    }
    plots.forEach((plot, at) => plot.setData(dataOf(shown[at], chosen)));
    more.hidden = !parts.folded.length;
    bar.hidden = values.hidden = !parts.main.length;
    setText(legend, legendOf(runs));
    if (values.open) replace(tables, ...[...parts.main, ...parts.folded].flatMap((each) => [h("h3", {}, each.title), asTable(each)]));
  }

  const watcher = new ResizeObserver(() => plots.forEach((plot) => plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT })));
  watcher.observe(element);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const recolour = () => { signature = ""; draw(); };
  dark.addEventListener("change", recolour);
  return {
    element,
    update: (now) => { runs = now; draw(); },
    leave: () => { watcher.disconnect(); dark.removeEventListener("change", recolour); plots.forEach((plot) => plot.destroy()); },
  };
}

// Loss and evaluation loss share a plot; every other evaluation metric of a like size has the next.
function groups(runs) {
  const lines = (part, keep) => runs.flatMap((run) => Object.entries(run.curves[part]?.series ?? {}).filter(([name]) => keep(name)).map(([name, values]) => ({
    run, name, part, values, steps: run.curves[part].steps, label: runs.length === 1 ? metricName(name) : part === "evaluation" && name !== "eval_loss" ? run.name : `${run.name} ${metricName(name)}`,
  })));
  const loss = [...lines("training", (name) => name === "loss"), ...lines("evaluation", (name) => name === "eval_loss")];
  const metrics = lines("evaluation", (name) => name !== "eval_loss");
  const main = [{ title: "loss", lines: loss, isLoss: true }, ...(runs.length > 1 ? byMetric(metrics) : bySize(metrics))];
  const folded = ["learning_rate", "grad_norm"].map((each) => ({ title: each.replace("_", " "), lines: lines("training", (name) => name === each) }));
  return { main: main.filter((each) => each.lines.length), folded: folded.filter((each) => each.lines.length) };
}

function bySize(metrics) {
  const small = metrics.filter((line) => line.values.every((value) => value === null || Math.abs(value) <= 1));
  return [{ title: "evaluation", lines: small }, { title: "evaluation, larger than 1", lines: metrics.filter((line) => !small.includes(line)) }];
}

// A colour is a run's: lines of two metrics of one run would be the same.
function byMetric(metrics) {
  return [...new Set(metrics.map((line) => line.name))].map((name) => ({ title: metricName(name), lines: metrics.filter((line) => line.name === name) }));
}

// All plots have the same axis, whatever part of it their series have.
function rangeOf(runs, axis) {
  const all = runs.flatMap((run) => ["training", "evaluation"].flatMap((part) => positions(run.curves[part]?.steps ?? [], axis, run.curves, run.status)));
  const [low, high] = all.reduce(([least, most], each) => [Math.min(least, each), Math.max(most, each)], [Infinity, -Infinity]);
  return low < high ? [low, high] : [low - 1, low + 1];
}

// One axis for all lines of a plot: each line has a value, or none, at each of its places. The loss stands twice: faint as measured, strong smoothed.
function dataOf(group, chosen) {
  const placed = group.lines.map((line) => ({ line, xs: positions(line.steps, chosen.axis, line.run.curves, line.run.status) }));
  const xs = [...new Set(placed.flatMap((each) => each.xs))].sort((one, other) => one - other);
  const place = new Map(xs.map((x, at) => [x, at]));
  const spread = (from, values) => {
    const column = new Array(xs.length).fill(undefined);
    from.forEach((x, at) => { column[place.get(x)] = values[at]; });
    return column;
  };
  const measured = (values) => values.map((value) => (chosen.log && value !== null && value <= 0 ? null : value));
  return [xs, ...placed.flatMap(({ line, xs: own }) => {
    const values = measured(line.values);
    return isSmoothed(line) ? [spread(own, values), spread(own, smooth(values, chosen.smoothing))] : [spread(own, values)];
  })];
}

// Of a single place uPlot makes a range of its own.
const isZoomed = (plot, low, high) => plot.data[0].length > 1 && !(plot.data[0][0] === low && plot.data[0].at(-1) === high);

const isSmoothed = (line) => line.part === "training" && line.name === "loss";

function makePlot(group, place, chosen, runs, span) {
  const series = group.lines.flatMap((line, at) => {
    const stroke = runs.length > 1 ? line.run.colour : colour(line.part === "evaluation" && group.isLoss ? 1 : at);
    const base = { stroke, value: (_, value) => number(value), spanGaps: true };
    const own = line.part === "evaluation" ? { ...base, label: line.label, width: 2, dash: group.isLoss ? [5, 4] : undefined, points: { show: true, size: 5 } } : { ...base, label: line.label, width: 2, points: { show: false } };
    return isSmoothed(line) ? [{ ...base, label: `${line.label}, as measured`, width: 1, alpha: 0.35, class: "measured", show: runs.length === 1, points: { show: false } }, { ...own, label: `${line.label}, smoothed` }] : [own];
  });
  const grid = { stroke: css("--grid"), width: 1 };
  const axis = { stroke: css("--muted"), grid, ticks: grid, font: "12px system-ui" };
  const options = {
    title: group.title, width: place.clientWidth || 600, height: HEIGHT,
    // A drag zooms in: then the range is the reader's own.
    scales: { x: { time: chosen.axis === "time", range: (plot, low, high) => (isZoomed(plot, low, high) ? [low, high] : span()) }, y: { distr: chosen.log && group.isLoss ? 3 : 1 } },
    axes: [{ ...axis, size: 34, label: chosen.axis, labelSize: 16, labelGap: -6, labelFont: "12px system-ui" }, { ...axis, size: 60, values: (_, splits) => splits.map((each) => (each === null ? "" : number(each))) }],
    cursor: { sync: { key: "curves" }, drag: { x: true, y: false } },
    legend: { live: true },
    series: [{ label: chosen.axis, value: (_, value) => (value === null || value === undefined ? "–" : chosen.axis === "time" ? new Date(value * 1000).toLocaleString() : number(value)) }, ...series],
    hooks: { drawClear: [(plot) => runs.length === 1 && drawAttempts(plot, chosen.axis, runs[0])], draw: [(plot) => runs.length === 1 && drawCheckpoints(plot, chosen.axis, runs[0])] },
  };
  const holder = h("figure", { class: runs.length > 1 ? "plot many" : "plot", "aria-label": group.title });
  place.append(holder);
  return new window.uPlot(options, dataOf(group, chosen), holder);
}

// What is drawn of a run that is no curve.
function legendOf(runs) {
  if (runs.length !== 1) return "";
  const { status } = runs[0];
  const spans = attemptSpans(status);
  return [status.bestCheckpoint || status.checkpoints?.length ? "▲ checkpoint" : "", status.bestCheckpoint ? "large: the best" : "", spans.length > 1 ? "shaded: every second attempt" : "", spans.some((span) => span.kept < span.to) ? "hatched: lost and trained again" : ""].filter(Boolean).join(" · ");
}

// Attempts are bands, every second one shaded; what a later attempt trained again is hatched.
function drawAttempts(plot, axis, run) {
  const spans = attemptSpans(run.status);
  if (spans.length < 2) return;
  const { ctx, bbox } = plot;
  const x = (step) => plot.valToPos(positions([step], axis, run.curves, run.status)[0], "x", true);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  spans.forEach((span, at) => {
    const [left, right] = [x(span.from), x(span.to)];
    if (at % 2) {
      ctx.fillStyle = css("--band");
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
    if (span.kept < span.to && axis !== "time") hatch(ctx, x(span.kept), right, bbox);
  });
  ctx.restore();
}

function hatch(ctx, left, right, bbox) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, bbox.top, right - left, bbox.height);
  ctx.clip();
  ctx.strokeStyle = css("--lost");
  ctx.beginPath();
  for (let at = left - bbox.height; at < right; at += 8) {
    ctx.moveTo(at, bbox.top + bbox.height);
    ctx.lineTo(at + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}

function drawCheckpoints(plot, axis, run) {
  const { ctx, bbox } = plot;
  const best = run.status.bestCheckpoint?.step;
  const steps = [...new Set([...(run.status.checkpoints ?? []).map((each) => each.step), ...(best === undefined ? [] : [best])])];
  ctx.save();
  steps.forEach((step) => {
    const at = plot.valToPos(positions([step], axis, run.curves, run.status)[0], "x", true);
    if (at < bbox.left || at > bbox.left + bbox.width) return;
    ctx.fillStyle = step === best ? css("--accent") : css("--muted");
    const size = (step === best ? 7 : 4) * devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(at, bbox.top + bbox.height - size);
    ctx.lineTo(at - size / 2, bbox.top + bbox.height);
    ctx.lineTo(at + size / 2, bbox.top + bbox.height);
    ctx.fill();
  });
  ctx.restore();
}

function asTable(group) {
  const steps = [...new Set(group.lines.flatMap((line) => line.steps))].sort((one, other) => one - other);
  const at = group.lines.map((line) => new Map(line.steps.map((step, place) => [step, line.values[place]])));
  return table(group.title, ["step", ...group.lines.map((line) => line.label)], steps.map((step) => [number(step), ...at.map((values) => h("td", { class: "figure" }, number(values.get(step))))]), "figures");
}
