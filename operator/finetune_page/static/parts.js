// Parts of a job's page that are tables.

import { h, table } from "./dom.js";
import { bytes, duration, metricName, now, number } from "./format.js";

const seconds = (from, to) => (from ? ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000 : null);

// Each attempt is a bar of what it spent its time with, on one axis of time.
export function attempts(status) {
  const all = status.attempts ?? [];
  if (!all.length) return [];
  const rows = all.map((each, at) => {
    const next = all[at + 1];
    const lost = next && each.lastStep !== undefined ? Math.max(0, each.lastStep - (next.resumedFromStep ?? 0)) : 0;
    const starting = seconds(each.startTime, each.trainingStartTime ?? each.endTime);
    const training = each.trainingStartTime ? seconds(each.trainingStartTime, each.endTime) : 0;
    return [`${each.number}`, each.pod, each.node ?? "–", starting === null ? "–" : duration(starting), training ? duration(training) : "–",
      `${each.resumedFromStep ?? 0} → ${each.lastStep ?? "?"}`, lost ? `${lost} steps lost` : "–", each.endTime ? each.reason ?? (each.exitCode ? `exit code ${each.exitCode}` : "ended") : "runs"];
  });
  return [h("h2", {}, "Attempts"), timeline(status, all), table("Attempts of the run", ["attempt", "pod", "node", "starting", "training", "steps", "lost", "end"], rows)];
}

function timeline(status, all) {
  const begin = Math.min(...all.filter((each) => each.startTime).map((each) => Date.parse(each.startTime)), status.startTime ? Date.parse(status.startTime) : Infinity);
  const end = Math.max(...all.map((each) => (each.endTime ? Date.parse(each.endTime) : now())));
  const share = (from, to) => Math.max(0, Math.round((1000 * (to - from)) / Math.max(1, end - begin)));
  const parts = [];
  let last = begin;
  for (const [at, each] of all.entries()) {
    if (!each.startTime) continue;
    const [start, train, stop] = [Date.parse(each.startTime), Date.parse(each.trainingStartTime ?? each.endTime ?? new Date(now()).toISOString()), each.endTime ? Date.parse(each.endTime) : end];
    parts.push(["queued", share(last, start)], ["starting", share(start, train)]);
    // What the next attempt trained again was lost; how long that took is its share of the steps.
    const [from, to] = [each.resumedFromStep ?? 0, each.lastStep ?? 0];
    const next = all[at + 1];
    const kept = next && to > from ? Math.max(0, Math.min(1, ((next.resumedFromStep ?? 0) - from) / (to - from))) : 1;
    parts.push(["training", share(train, train + kept * (stop - train))]);
    if (kept < 1) parts.push(["lost", share(train + kept * (stop - train), stop)]);
    last = stop;
  }
  // A meter of parts: each is a column of the grid that takes its share.
  const bar = h("div", { class: "timeline", role: "img", "aria-label": parts.map(([kind, part]) => `${kind} ${Math.round(part / 10)} %`).join(", ") }, parts.map(([kind]) => h("span", { class: kind, title: kind })));
  bar.style.gridTemplateColumns = parts.map(([, part]) => `${Math.max(1, part)}fr`).join(" ");
  return h("div", {}, bar, h("p", { class: "legend muted" }, ["queued", "starting", "training", "lost"].map((kind) => [h("span", { class: `swatch ${kind}` }), ` ${kind} `]).flat()));
}

export function preflight(status) {
  const found = status.preflight;
  const warnings = (status.warnings ?? []).map((each) => h("li", {}, h("strong", {}, each.reason), ` ${each.message}`));
  if (!found && !warnings.length) return [];
  const rows = found ? [
    ["training rows", number(found.trainRows)], ["evaluation rows", number(found.evaluationRows)],
    found.classCount ? ["classes", `${found.classCount}${found.classes?.length ? `: ${found.classes.map((each) => `${each.name} ${each.rows}`).join(", ")}` : ""}`] : null,
    found.lengths ? ["tokens in a row", `median ${found.lengths.median}, 95 % up to ${found.lengths.p95}, longest ${found.lengths.longest}${found.lengths.limit ? `, limit ${found.lengths.limit}` : ""}`] : null,
    ["steps", `${number(found.steps)} of ${number(found.batchSize)} rows`], ["parameters", `${number(found.trainedParameters)} of ${number(found.parameters)} are trained`],
    found.memory ? ["memory a device", `${bytes(found.memory.total)}${found.memory.available ? ` of ${bytes(found.memory.available)}` : ""} (${found.device ?? "device"})`] : null,
    found.outputBytes ? ["output at most", bytes(found.outputBytes)] : null,
  ].filter(Boolean) : [];
  return [h("h2", {}, "Before the first step"), warnings.length ? h("ul", { class: "warnings" }, warnings) : null, rows.length ? table("What the run reads, and what it takes", ["", "found"], rows) : null];
}

export function evaluations(status) {
  const all = status.evaluations ?? [];
  const names = [...new Set(all.flatMap((each) => (each.metrics ?? []).map((metric) => metric.name)))];
  if (!names.length) return [];
  const best = status.bestCheckpoint?.step;
  const rows = [...all].reverse().map((each) => {
    const values = new Map((each.metrics ?? []).map((metric) => [metric.name, metric.value]));
    return [`${each.step}${each.step === best ? " ★" : ""}`, ...names.map((name) => number(values.get(name)))];
  });
  return [h("h2", {}, "Evaluations"), h("div", { class: "scroll" }, table("The newest evaluations; ★ is the best checkpoint", ["step", ...names.map(metricName)], rows))];
}

export function provenance(status) {
  const flat = (value, path) => (value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value).flatMap(([name, each]) => flat(each, path ? `${path}.${name}` : name)) : [[path, String(value)]]);
  const rows = [...flat(status.provenance ?? {}, ""), ...flat(status.profile ?? {}, "profile"), ...(status.model ? flat(status.model, "model") : [])].filter(([name]) => name);
  return rows.length ? table("What the result was made of", ["", "value"], rows) : null;
}
