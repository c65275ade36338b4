// What a result was made of, and every field of the status that no other part of the page shows.

import { h, pairs, table } from "./dom.js";
import { age } from "./format.js";

// What other parts show. A field that is new to this page is among the rest.
const ELSEWHERE = ["observedGeneration", "phase", "message", "progress", "attempts", "evaluations", "checkpoints", "latestCheckpoint", "bestCheckpoint", "preflight", "warnings", "adjustments", "usage", "failure", "provenance", "profile", "model", "conditions", "metrics", "previousRuns", "notifications", "tracking"];

// Every value below its path: lists of values in a line, lists of objects by their place.
function flat(value, path) {
  if (Array.isArray(value) && !value.some((each) => each && typeof each === "object")) return value.length ? [[path, value.join(", ")]] : [];
  if (value && typeof value === "object") return Object.entries(value).flatMap(([name, each]) => flat(each, Array.isArray(value) ? `${path}[${name}]` : path ? `${path}.${name}` : name));
  return [[path, String(value)]];
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function provenance(status) {
  const { settings, ...profile } = status.profile ?? {};
  const parts = [["What the result was made of", flat(status.provenance ?? {}, "")], ["The model", flat(status.model ?? {}, "")], ["The profile by whose rules it was taken", [...flat(profile, ""), ...(settings ? flat(parsed(settings), "settings") : [])]]];
  const shown = parts.filter(([, rows]) => rows.length);
  return shown.length ? shown.flatMap(([title, rows]) => [h("h3", {}, title), pairs(title, rows)]) : null;
}

export function rest(status) {
  const conditions = (status.conditions ?? []).map((each) => [each.type, each.status, each.reason, each.message, h("td", {}, h("time", { datetime: each.lastTransitionTime, title: each.lastTransitionTime }, `${age(each.lastTransitionTime)} ago`))]);
  const others = flat(Object.fromEntries(Object.entries(status).filter(([name]) => !ELSEWHERE.includes(name))), "");
  return [
    conditions.length ? [h("h3", {}, "Conditions"), table("Conditions", ["type", "status", "reason", "message", "changed"], conditions)] : [],
    others.length ? [h("h3", {}, "Other fields of the status"), pairs("Other fields of the status", others)] : [],
  ].flat();
}
