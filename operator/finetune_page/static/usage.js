// What a namespace used this month of what it may, who holds GPUs, what waits, and what each job used.

import { budgetOf, meters, ofMonth, presentBudgets, total, usedBy } from "./budget.js";
import { h, replace, scrolled, table } from "./dom.js";
import { follow } from "./events.js";
import { hours, SHAPES, thisMonth } from "./format.js";
import { ALL, jobsPath, namespaceField } from "./namespace.js";

// More than these are in the sum alone.
const MOST = 200;

export function showUsage(main, { address, go, setQuery, home }) {
  const jobs = new Map();
  const month = thisMonth();
  const place = h("div", {}, h("div", { class: "skeleton", "aria-hidden": "true" }));
  let namespace = address.searchParams.get("namespace") ?? home();
  let synced = false;
  let shown = false;
  let stop = null;
  document.title = "FineTune · usage";
  const field = namespaceField(namespace, (name) => { namespace = name || home(); setQuery({ namespace }); open(); });
  main.append(h("h1", {}, `Usage in ${month}`), h("div", { class: "bar" }, field), place);

  let present = {};
  presentBudgets().then((found) => { present = found; draw(); });
  const link = (job) => h("a", { href: `/jobs/${encodeURIComponent(job.namespace)}/${encodeURIComponent(job.name)}` }, namespace === ALL ? `${job.namespace}/${job.name}` : job.name);
  const phase = (job) => h("span", { class: `phase ${job.phase}` }, `${SHAPES[job.phase]} ${job.phase}`);
  // Jobs on CPUs hold and wait for nothing that is counted.
  function some(title, jobs, why) {
    const rows = jobs.slice(0, MOST).map((job) => [link(job), phase(job), h("td", { class: "figure" }, String(job.gpus)), ...(why ? [h("td", { class: "wraps" }, job.why)] : [])]);
    return jobs.length ? [h("h2", {}, `${title} `, h("span", { class: "muted" }, `${sum(jobs)} ${sum(jobs) === "1" ? "GPU" : "GPUs"}`)), scrolled(title, table(title, ["job", "phase", "GPUs", ...(why ? ["why"] : [])], rows, "holding"))] : [];
  }
  const sum = (jobs) => jobs.reduce((all, job) => all + job.gpus, 0).toLocaleString("en-US");

  function draw() {
    if (!synced) return;
    shown = true;
    const used = [...jobs.values()].sort((one, other) => ofMonth(other) - ofMonth(one) || other.gpuSeconds - one.gpuSeconds);
    const onGpus = used.filter((job) => job.gpus);
    const most = Math.max(1, ...used.slice(0, 1).map(ofMonth));
    const rows = used.slice(0, MOST).map((job) => [
      link(job), phase(job), h("td", { class: "share" }, h("meter", { max: most, value: ofMonth(job), "aria-label": "Share" })), h("td", { class: "figure" }, hours(ofMonth(job))), h("td", { class: "figure" }, hours(job.gpuSeconds))]);
    if (!used.length) return replace(place, h("p", { class: "empty" }, "No jobs here, so nothing is used. ", h("code", {}, "finetune submit job.yaml"), " submits one."));
    // A budget is that of one namespace.
    replace(place, namespace === ALL ? total(usedBy(used)) : meters(budgetOf(used, present)),
      some("Hold GPUs now", onGpus.filter((job) => ["Preparing", "Running"].includes(job.phase)), false),
      some("Wait for GPUs or for the budget", onGpus.filter((job) => ["Queued", "Pending"].includes(job.phase)), true),
      h("h2", {}, "Used by each job"),
      table("GPU-hours by job", ["job", "phase", "share", `in ${month}`, "in all"], rows, "figures used"),
      used.length > MOST && h("p", { class: "muted" }, `and ${(used.length - MOST).toLocaleString("en-US")} more jobs, which used less`));
  }

  function open() {
    stop?.();
    jobs.clear();
    synced = shown = false;
    replace(place, h("div", { class: "skeleton", "aria-hidden": "true" }));
    stop = follow(jobsPath(namespace), {
      lasting: true,
      begin: () => { jobs.clear(); synced = false; },
      items: (items) => {
        for (const item of items) {
          if (item.gone) jobs.delete(item.gone);
          else if (item.synced) synced = true;
          else jobs.set(item.uid, item);
        }
        draw();
      },
      // What is on the screen stays there; that it is old is told at the top.
      failure: (message, code) => {
        if (!shown) replace(place, h("div", { class: "card failed" }, h("p", {}, message),
          code === 403 && h("p", {}, h("strong", {}, "What to do: "), "type a namespace of yours above, or ask its administrator for the right to list finetunejobs, by which usage is counted.")));
      },
    });
  }
  setQuery({ namespace });
  open();
  return { leave: () => stop?.(), keys: { Escape: () => go(`/?namespace=${encodeURIComponent(namespace)}`) } };
}
