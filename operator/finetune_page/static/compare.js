// Two to eight runs: only the settings that differ, curves over each other, final metrics with the best marked, cost.

import { coloursOf, curvesPanel } from "./curves.js";
import { h, replace, scrolled, table } from "./dom.js";
import { ask } from "./events.js";
import { metricName, number } from "./format.js";

export function showComparison(main, { address, go }) {
  document.title = "FineTune · comparison";
  const panel = curvesPanel();
  const place = h("div", {}, h("div", { class: "skeleton", "aria-hidden": "true" }));
  main.append(h("nav", { "aria-label": "Way back", class: "back" }, h("a", { href: "/" }, "← jobs")), h("h1", {}, "Comparison"), place);
  load();

  async function load() {
    try {
      const found = await ask(`/api/comparison${address.search}`);
      const names = found.runs.map(({ name }) => name);
      const colours = coloursOf(names);
      const heads = found.runs.map(({ row }, at) => {
        const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.background = colours[at];
        return h("span", {}, swatch, " ", h("a", { href: `/jobs/${encodeURIComponent(row.namespace)}/${encodeURIComponent(row.name)}` }, names[at]));
      });
      const metrics = found.metrics.map((each) => ({ ...each, name: metricName(each.name) }));
      replace(place,
        h("h2", {}, "Settings that differ"), rowsOf(found.settings, "Settings", heads) ?? h("p", { class: "muted" }, "None: the runs have the same settings."),
        panel.element,
        h("h2", {}, "Final metrics"), rowsOf(metrics, "Metrics; ★ is the best", heads) ?? h("p", { class: "muted" }, "No metrics yet."),
        h("h2", {}, "Cost"), rowsOf(found.cost, "Cost", heads));
      panel.update(found.runs.map(({ curves }, at) => ({ name: names[at], colour: colours[at], curves, status: {} })));
    } catch (error) {
      replace(place, h("div", { class: "card failed" }, h("h2", {}, "These jobs cannot be compared"), h("p", {}, error.message), h("button", { type: "button", onclick: load }, "Try now")));
    }
  }
  return { leave: () => panel.leave(), keys: { Escape: () => go("/") } };
}

function rowsOf(rows, caption, heads) {
  if (!rows.length) return null;
  const text = (value) => (value === null || value === undefined ? "–" : typeof value === "number" ? number(value) : typeof value === "string" ? value : JSON.stringify(value));
  const cells = rows.map((row) => [h("span", {}, row.name.split(/(?<=[.])/).flatMap((part) => [h("wbr"), part])), ...row.values.map((value, at) => h("td", { class: row.best.includes(at) ? "best" : null }, `${text(value)}${row.best.includes(at) ? " ★" : ""}`))]);
  return scrolled(caption, table(caption, ["", ...heads.map((head) => head.cloneNode(true))], cells, "compared"));
}
