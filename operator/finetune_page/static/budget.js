// What a namespace has used in the month, and what its profiles give it.

import { h } from "./dom.js";
import { ask } from "./events.js";
import { hours, thisMonth } from "./format.js";

export function ofMonth(job) {
  return within(thisMonth(), job);
}

function within(month, job) {
  return job.month?.month === month ? job.month.gpuSeconds : 0;
}

// Budgets as the profiles have them now, by name; empty for who may not list profiles.
export async function presentBudgets() {
  try {
    return (await ask("/api/budgets")).budgets;
  } catch {
    return {};
  }
}

export function usedBy(jobs) {
  const month = thisMonth();
  return jobs.reduce((sum, job) => sum + within(month, job), 0);
}

// Used by the jobs that are there, or by what the operator says to one that waits: it knows of deleted ones, too. Of several budgets the smallest comes first.
// A job that is over may have been taken by a profile of before; the newest shows by which the next one is taken.
export function budgetOf(jobs, present) {
  const taken = jobs.filter((job) => job.budget).sort((one, other) => (one.created < other.created ? -1 : 1));
  const counting = taken.filter((job) => job === taken.at(-1) || !["Succeeded", "Failed"].includes(job.phase));
  const told = jobs.reduce((most, job) => Math.max(most, job.budget?.used ?? 0), 0);
  const used = Math.max(told, usedBy(jobs));
  const allowed = new Map();
  for (const { budget } of counting) allowed.set(budget.profile, budget.allowed);
  for (const profile of allowed.keys()) if (Object.hasOwn(present, profile)) allowed.set(profile, present[profile]);
  return { used, budgets: [...allowed].filter(([, most]) => most !== null).sort(([, one], [, other]) => one - other) };
}

export function inWords({ used, budgets }) {
  return `${hours(used)} GPU-h this month${budgets.length ? ` of ${hours(budgets[0][1])}` : ""}`;
}

export function total(used, ...more) {
  return h("p", { class: "total" }, h("strong", {}, hours(used)), " GPU-hours by the jobs that are there", ...more);
}

export function meters({ used, budgets }) {
  if (!budgets.length) return [total(used, "; no FineTuneProfile of theirs sets a budget")];
  return budgets.map(([profile, most]) => h("p", { class: "total" }, h("strong", {}, hours(used)), ` of ${hours(most)} GPU-hours that FineTuneProfile `, h("bdi", {}, profile), " gives the namespace ",
    h("meter", { max: Math.max(1, most), value: Math.min(used, most), "aria-label": "Used", class: used >= most ? "full" : null }), used >= most ? " used up" : ""));
}
