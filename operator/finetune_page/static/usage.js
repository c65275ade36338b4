// What a namespace used this month, by job.

import { h, replace, table } from "./dom.js";
import { follow } from "./events.js";
import { hours, thisMonth } from "./format.js";

export function showUsage(main, { address, setQuery, home }) {
  const jobs = new Map();
  const month = thisMonth();
  const place = h("div", {});
  let namespace = address.searchParams.get("namespace") ?? home();
  let stop = null;
  document.title = "FineTune · usage";
  const input = h("input", { type: "text", value: namespace, "aria-label": "Namespace, * for all", onchange: () => { namespace = input.value.trim() || home(); setQuery({ namespace }); open(); } });
  main.append(h("h1", {}, `Usage in ${month}`), h("div", { class: "bar" }, h("label", {}, "namespace ", input)), place);

  const ofMonth = (job) => (job.month?.month === month ? job.month.gpuSeconds : 0);
  function draw() {
    const used = [...jobs.values()].sort((one, other) => ofMonth(other) - ofMonth(one) || other.gpuSeconds - one.gpuSeconds);
    const total = used.reduce((sum, job) => sum + ofMonth(job), 0);
    const rows = used.map((job) => [h("a", { href: `/jobs/${encodeURIComponent(job.namespace)}/${encodeURIComponent(job.name)}` }, `${job.namespace}/${job.name}`), job.phase, hours(ofMonth(job)), hours(job.gpuSeconds)]);
    replace(place, h("p", { class: "total" }, `${hours(total)} GPU-hours by the jobs that are there`), table("GPU-hours by job", ["job", "phase", `in ${month}`, "in all"], rows));
  }

  function open() {
    stop?.();
    jobs.clear();
    draw();
    stop = follow(`/api/jobs${namespace === "*" ? "" : `?namespace=${encodeURIComponent(namespace)}`}`, {
      begin: () => jobs.clear(),
      items: (items) => {
        for (const item of items) {
          if (item.gone) jobs.delete(item.gone);
          else if (item.uid) jobs.set(item.uid, item);
        }
        draw();
      },
      failure: (message) => replace(place, h("div", { class: "card failed" }, message)),
    });
  }
  open();
  return { leave: () => stop?.() };
}
