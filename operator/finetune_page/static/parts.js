// Parts of a job's page that are tables.

import { h, pairs, scrolled, table } from "./dom.js";
import { age, bytes, duration, hours, metricName, now, number } from "./format.js";

const seconds = (from, to) => (from ? ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000 : null);

// Each attempt is a bar of what it spent its time with, on one axis of time.
export function attempts(status) {
  const all = status.attempts ?? [];
  const changes = (status.adjustments ?? []).map((each) => h("li", {}, h("strong", {}, each.reason), ` from step ${each.step} on: ${each.message}`));
  const before = (status.previousRuns ?? []).map((each) => [`${each.number}`, each.phase, h("td", { class: "wraps" }, [each.reason, each.message].filter(Boolean).join(": ") || "–"), `${each.attempts ?? 0}`, `${each.step ?? "–"}`, each.startTime ? `${each.startTime} to ${each.endTime ?? "?"}` : "–", each.output ?? "–"]);
  if (!all.length && !before.length) return [];
  const rows = all.map((each, at) => {
    const next = all[at + 1];
    const lost = next && each.lastStep !== undefined ? Math.max(0, each.lastStep - (next.resumedFromStep ?? 0)) : 0;
    const starting = seconds(each.startTime, each.trainingStartTime ?? each.endTime);
    const training = each.trainingStartTime ? seconds(each.trainingStartTime, each.endTime) : 0;
    const end = [each.reason, each.exitCode ? `exit code ${each.exitCode}` : ""].filter(Boolean).join(", ");
    return [`${each.number}`, each.pod, each.node ?? "–", starting === null ? "–" : duration(starting), training ? duration(training) : "–",
      `${each.resumedFromStep ?? 0} → ${each.lastStep ?? (each.endTime ? undefined : status.progress?.step) ?? "?"}`, lost ? `${lost} steps` : "–", each.endTime ? end || "ended" : "runs", each.log ?? "–"];
  });
  return [
    h("h2", {}, "Attempts"),
    rows.length ? [timeline(status, all), scrolled("Attempts of the run", table("Attempts of the run", ["attempt", "pod", "node", "starting", "training", "steps", "lost", "end", "log"], rows, "records"))] : [],
    changes.length ? [h("h3", {}, "What the run changed by itself"), h("ul", { class: "warnings" }, changes)] : [],
    before.length ? [h("h3", {}, "Runs before this one"), scrolled("Runs before this one", table("Runs before this one", ["run", "phase", "why", "attempts", "steps", "time", "output"], before, "records"))] : [],
  ].flat();
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
    parts.push(["waiting", share(last, start)], ["starting", share(start, train)]);
    // What the next attempt trained again was lost; how long that took is its share of the steps.
    const [from, to] = [each.resumedFromStep ?? 0, each.lastStep ?? 0];
    const next = all[at + 1];
    const kept = next && to > from ? Math.max(0, Math.min(1, ((next.resumedFromStep ?? 0) - from) / (to - from))) : 1;
    parts.push(["training", share(train, train + kept * (stop - train))]);
    if (kept < 1) parts.push(["lost", share(train + kept * (stop - train), stop)]);
    last = stop;
  }
  const there = parts.filter(([, part]) => part);
  const saved = (status.checkpoints ?? []).filter(({ time }) => Date.parse(time) >= begin && Date.parse(time) <= end).map(({ step, time }) => {
    const tick = h("span", { class: "saved", title: `checkpoint of step ${number(step)}, ${time}` });
    tick.style.left = `${(100 * (Date.parse(time) - begin)) / Math.max(1, end - begin)}%`;
    return tick;
  });
  // A meter of parts: each is a column of the grid that takes its share.
  const bar = h("div", { class: "timeline", role: "img", "aria-label": [...there.map(([kind, part]) => `${kind} ${Math.round(part / 10)} %`), ...(saved.length ? [`${saved.length} ${saved.length === 1 ? "checkpoint" : "checkpoints"} saved`] : [])].join(", ") }, saved, there.map(([kind, part]) => h("span", { class: kind, title: `${kind} ${Math.round(part / 10)} %` })));
  bar.style.gridTemplateColumns = there.map(([, part]) => `${part}fr`).join(" ");
  return h("div", {}, bar, h("p", { class: "key muted" }, ["waiting", "starting", "training", "lost"].map((kind) => h("span", {}, h("span", { class: `swatch ${kind}` }), kind)), saved.length > 0 && h("span", {}, h("span", { class: "swatch tick" }), "checkpoint saved")));
}

export function preflight(status) {
  const found = status.preflight;
  const warnings = (status.warnings ?? []).map((each) => h("li", {}, h("strong", {}, each.reason), ` ${each.message}`));
  if (!found && !warnings.length) return [];
  const memory = found?.memory;
  const classes = found?.classes?.length ? `: ${found.classes.map((each) => `${each.name} (${number(each.rows)})`).join(", ")}${found.classCount > found.classes.length ? ", …" : ""}` : "";
  const rows = found ? [
    ["rows", `${number(found.trainRows)} to train on, ${number(found.evaluationRows)} to evaluate on`],
    found.classCount ? ["classes", `${number(found.classCount)}${classes}`] : null,
    found.lengths ? ["tokens in a row", `median ${number(found.lengths.median)}, 95 % up to ${number(found.lengths.p95)}, longest ${number(found.lengths.longest)}${found.lengths.limit ? `, limit ${number(found.lengths.limit)}` : ""}${found.lengths.atLimit ? `, which ${Number(found.lengths.atLimit) ? `${number(100 * found.lengths.atLimit)} %` : "none"} reach` : ""}`] : null,
    found.sampledRows ? ["taken of", `${number(found.sampledRows)} rows`] : null,
    ["steps", `${number(found.steps)} of ${number(found.batchSize)} rows`],
    ["parameters", found.trainedParameters === found.parameters ? `${number(found.parameters)}, all trained` : `${number(found.parameters)}, ${number(found.trainedParameters)} of them trained`],
    found.device ? ["device", found.device] : null,
    memory ? ["memory on it", `${bytes(memory.total)}${memory.available ? ` of ${bytes(memory.available)}` : ""}: weights ${bytes(memory.weights)}, gradients ${bytes(memory.gradients)}, optimizer ${bytes(memory.optimizer)}, activations ${bytes(memory.activations)}${memory.checkpoint ? `, checkpoint ${bytes(memory.checkpoint)}` : ""}`] : null,
    found.outputBytes ? ["output at most", bytes(found.outputBytes)] : null,
  ].filter(Boolean) : [];
  return [h("h2", {}, "Before the first step"), warnings.length ? h("ul", { class: "warnings" }, warnings) : null, rows.length ? pairs("What the run reads, and what it takes", rows) : null];
}

const named = (metrics) => new Map((metrics ?? []).map((metric) => [metric.name, metric.value]));
const figure = (value) => h("td", { class: "figure" }, number(value));

export function evaluations(status) {
  const all = status.evaluations ?? [];
  const names = [...new Set(all.flatMap((each) => (each.metrics ?? []).map((metric) => metric.name)))];
  const newest = (status.metrics ?? []).map((each) => [metricName(each.name), number(each.value)]);
  if (!names.length && !newest.length) return [];
  const best = status.bestCheckpoint?.step;
  const rows = [...all].reverse().map((each) => {
    const values = named(each.metrics);
    return [`${number(each.step)}${each.step === best ? " ★" : ""}`, figure(each.epoch), ...names.map((name) => figure(values.get(name)))];
  });
  return [h("h2", {}, "Evaluations"),
    newest.length ? h("dl", { class: "facts" }, newest.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))) : null,
    rows.length ? scrolled("Evaluations", table("The newest evaluations; ★ is the best checkpoint", ["step", "epoch", ...names.map(metricName)], rows, "figures")) : null,
    status.preflight?.classCount ? h("p", { class: "muted" }, "Of each class: ", h("button", { type: "button", "data-find": "f1 of the classes" }, "f1 in the log"), " and precision, recall, f1 and confusions in ", h("code", {}, "history.jsonl"), " at the output.") : null];
}

export function checkpoints(status) {
  const all = [...(status.checkpoints ?? [])].reverse();
  const best = status.bestCheckpoint;
  if (!all.length && !best) return [];
  const rows = all.map((each) => [
    `${number(each.step)}${each.step === best?.step ? " ★" : ""}`, figure(each.epoch), h("td", { class: "figure" }, bytes(each.sizeBytes)), each.time ? h("td", {}, h("time", { datetime: each.time, title: each.time }, `${age(each.time)} ago`)) : "–",
    (each.metrics ?? []).map((metric) => `${metricName(metric.name)} ${number(metric.value)}`).join(", ") || "–", h("td", { title: each.digest ?? null }, each.uri, each.step === status.latestCheckpoint?.step && h("span", { class: "muted" }, " · where an attempt goes on"))]);
  const gone = best && !all.some((each) => each.step === best.step);
  return [h("h2", {}, "Checkpoints"), gone ? h("p", {}, `The best, of step ${number(best.step)}, is `, h("code", {}, best.uri)) : null,
    rows.length ? scrolled("Checkpoints", table("Checkpoints that are there; ★ is the best", ["step", "epoch", "size", "written", "metrics", "where"], rows, "figures records")) : null];
}

export function usage(status) {
  const used = status.usage;
  if (!used || !(used.podSeconds || used.preflightSeconds || used.queuedSeconds)) return [];
  const gpu = used.gpuSeconds ?? {};
  return [h("h2", {}, "What it used"), pairs("What it used", [
    ["GPU-hours", `${hours(gpu.total ?? 0)}${gpu.lost ? `, of which ${hours(gpu.lost)} were lost` : ""}${used.month ? `; ${hours(used.month.gpuSeconds)} in ${used.month.month}` : ""}`],
    ["pods ran", duration(used.podSeconds)],
    used.preflightSeconds ? ["checked before", duration(used.preflightSeconds)] : null,
    ["waited", duration(used.queuedSeconds)], ["prepared", duration(used.startupSeconds)],
    used.cost ? ["cost", `${used.cost.amount} ${used.cost.currency}`] : null,
  ].filter(Boolean))];
}

// Who was told of the end, and where else the run is to be seen.
export function elsewhere(status) {
  const trackers = (status.tracking ?? []).map((each) => [each.tracker, h("td", {}, link(each.url)), h("td", { class: "wraps" }, each.message ?? "all has arrived")]);
  const told = (status.notifications ?? []).map((each) => [each.target, TOLD[each.state] ?? each.state, `${each.attempts ?? 0}`,
    each.lastAttemptTime ? h("td", {}, h("time", { datetime: each.lastAttemptTime, title: each.lastAttemptTime }, `${age(each.lastAttemptTime)} ago`)) : "–", h("td", { class: "wraps" }, each.message ?? "–")]);
  return [
    trackers.length ? [h("h2", {}, "Trackers"), scrolled("Trackers", table("Trackers", ["tracker", "where", "what has not arrived"], trackers, "records"))] : [],
    told.length ? [h("h2", {}, "Told of the end"), scrolled("Told of the end", table("Told of the end", ["who", "told", "attempts", "last", "why not"], told, "records"))] : [],
  ].flat();
}

const TOLD = { Pending: "not yet", Delivered: "yes", GivenUp: "no, given up" };

// An address comes from the training: nothing but a page is followed.
function link(url) {
  return /^https?:[/][/]/.test(url ?? "") ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url) : url ?? "–";
}
