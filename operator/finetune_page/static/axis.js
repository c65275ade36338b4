// A run's steps on the axis that the reader chose: steps, epochs or time.

import { now } from "./format.js";

export const AXES = ["step", "epoch", "time"];

// Times of a step lie between the start and the end of the attempt that took it, as evenly as can be known.
export function positions(steps, axis, curves, status) {
  if (axis === "epoch" && curves.stepsPerEpoch) return steps.map((step) => step / curves.stepsPerEpoch);
  if (axis === "time") {
    const spans = attemptSpans(status);
    if (spans.length) return steps.map((step) => timeOf(step, spans));
  }
  return steps;
}

export function attemptSpans(status) {
  const attempts = (status.attempts ?? []).filter((each) => each.trainingStartTime);
  return attempts.map((each, at) => {
    const next = attempts[at + 1];
    const last = each.lastStep ?? next?.resumedFromStep ?? status.progress?.step ?? 0;
    const end = each.endTime ?? status.progress?.lastReportTime ?? status.completionTime ?? new Date(now()).toISOString();
    return {
      number: each.number,
      from: each.resumedFromStep ?? 0,
      to: last,
      begin: Date.parse(each.trainingStartTime) / 1000,
      end: Date.parse(end) / 1000,
      kept: next ? Math.min(last, next.resumedFromStep ?? 0) : last,
    };
  });
}

function timeOf(step, spans) {
  const span = [...spans].reverse().find((each) => step > each.from) ?? spans[0];
  const share = span.to > span.from ? Math.min(1, (step - span.from) / (span.to - span.from)) : 1;
  return span.begin + share * (span.end - span.begin);
}

// The exponential moving average with its bias taken out (Kingma & Ba 2015, section 3), so that a curve begins where it does.
export function smooth(values, factor) {
  let mean = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || !factor) return value;
    mean = factor * mean + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return mean / weight;
  });
}
