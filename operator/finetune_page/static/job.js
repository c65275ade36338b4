// A job: where it stands, why it waits or failed, and whether it learns; all else below.

import { curvesPanel, colour } from "./curves.js";
import { h, notify, replace, setText } from "./dom.js";
import { ask, follow, jobPath } from "./events.js";
import { age, duration, hours, SHAPES } from "./format.js";
import { logPanel } from "./log.js";
import { attempts, evaluations, preflight, provenance } from "./parts.js";

export function showJob(main, { parts: [namespace, name], go }) {
  document.title = `FineTune · ${name}`;
  const path = jobPath(namespace, name);
  const head = h("div", { class: "jobhead" }, h("div", { class: "skeleton", "aria-hidden": "true" }));
  const card = h("div", {});
  const panel = curvesPanel();
  const places = Object.fromEntries(["attempts", "preflight", "evaluations", "events", "provenance", "manifest"].map((each) => [each, h("section", { id: each })]));
  const log = logPanel(path, name);
  main.append(h("nav", { "aria-label": "Way back" }, h("a", { href: `/?namespace=${encodeURIComponent(namespace)}` }, "← jobs")), head, card, panel.element, places.attempts, places.preflight, places.evaluations, places.events, log.element, places.provenance, places.manifest);
  let rights = {};
  let shown = null;
  let explained = "";

  function draw(job) {
    shown = job;
    drawHead(job);
    panel.update([{ name, colour: colour(0), curves: job.curves, status: job.status }]);
    replace(places.attempts, attempts(job.status));
    replace(places.preflight, preflight(job.status));
    replace(places.evaluations, evaluations(job.status));
    drawProvenance(job);
    drawManifest(job);
    const state = `${job.row.phase} ${job.row.why}`;
    if (state !== explained) {
      explained = state;
      explain(job);
      drawEvents();
    }
  }

  const phase = h("span", {});
  const message = h("p", { class: "message" });
  const numbers = h("p", { class: "muted" });
  const meter = h("progress", { max: 100, "aria-label": "Progress" });
  const buttons = h("div", { class: "buttons" });
  let buttoned = "";
  function drawHead({ row, status, suspended, message: text }) {
    if (!phase.isConnected) replace(head, h("h1", {}, name, " ", phase), message, meter, numbers, buttons);
    phase.className = `phase ${row.phase}`;
    setText(phase, `${SHAPES[row.phase]} ${row.deleting ? "Deleting" : row.phase}`);
    setText(message, text);
    meter.hidden = row.percent === null;
    meter.value = row.percent ?? 0;
    const left = row.etaSeconds ? `${duration(row.etaSeconds)} left` : "";
    const step = status.progress?.totalSteps ? `step ${status.progress.step} of ${status.progress.totalSteps}` : "";
    setText(numbers, [row.percent === null ? "" : `${row.percent} %`, step, left, `${hours(row.gpuSeconds)} GPU-hours`, status.usage?.cost ? `${status.usage.cost.amount} ${status.usage.cost.currency}` : "", `age ${age(row.created)}`].filter(Boolean).join(" · "));
    const ended = ["Succeeded", "Failed"].includes(row.phase);
    const now = JSON.stringify([ended, suspended, rights, Boolean(status.model)]);
    // New buttons would lose the keyboard's focus.
    if (buttoned === now && buttons.isConnected) return;
    buttoned = now;
    replace(buttons,
      !ended && !suspended && rights.suspend && button("Suspend", "suspend"),
      suspended && rights.resume && button("Resume", "resume"),
      ended && rights.rerun && button("Run again", "rerun"),
      rights.delete && button(ended ? "Delete" : "Cancel", "delete", `Delete ${name} and its pods?`),
      h("button", { type: "button", onclick: () => copy(shown.manifest, "The manifest") }, "Copy manifest"),
      status.model && h("button", { type: "button", onclick: () => copy(`finetune download ${name} --namespace ${namespace}`, "The command that downloads the model") }, "Copy download command"));
  }

  function button(text, action, question) {
    return h("button", { type: "button", class: action, onclick: async () => {
      if (question && !confirm(question)) return;
      try {
        await ask(`${path}/${action}`, "POST");
        if (action === "delete") go(`/?namespace=${encodeURIComponent(namespace)}`);
      } catch (error) {
        notify(error.message);
      }
    } }, text);
  }

  async function explain({ row }) {
    if (["Running", "Succeeded"].includes(row.phase) && !row.urgent) return replace(card);
    try {
      const why = await ask(`${path}/explanation`);
      if (state() !== `${row.phase} ${row.why}`) return;
      replace(card, h("div", { class: `card ${row.phase === "Failed" ? "failed" : "waits"}` },
        h("h2", {}, why.reason || why.phase), h("p", {}, why.message),
        why.remedy && h("p", {}, h("strong", {}, "What to do: "), why.remedy),
        why.meaning && h("p", { class: "muted" }, why.meaning),
        why.since && h("p", { class: "muted" }, h("time", { datetime: why.since, title: why.since }, `since ${age(why.since)}`)),
        why.proof && h("pre", {}, why.proof)));
    } catch (error) {
      replace(card, h("div", { class: "card waits" }, error.message));
    }
  }
  const state = () => (shown ? `${shown.row.phase} ${shown.row.why}` : "");

  async function drawEvents() {
    try {
      const { events, notice } = await ask(`${path}/events`);
      const rows = events.map((event) => h("li", { class: event.type }, h("time", { datetime: event.time, title: event.time }, `${age(event.time)} ago`), ` ${event.about}: `, h("strong", {}, event.reason), ` ${event.message}${event.count > 1 ? ` (${event.count} times)` : ""}`));
      replace(places.events, h("h2", {}, "Events"), notice ? h("p", { class: "muted" }, notice) : rows.length ? h("ul", { class: "events" }, rows) : h("p", { class: "muted" }, "None are kept: Kubernetes forgets them after an hour."));
    } catch (error) {
      replace(places.events, h("h2", {}, "Events"), h("p", { class: "muted" }, error.message));
    }
  }

  // Made once, so that what the reader has opened stays open.
  const origin = h("div", { class: "scroll" });
  const folded = h("details", { hidden: true }, h("summary", {}, "Provenance and profile"), origin);
  places.provenance.append(folded);
  function drawProvenance(job) {
    const found = provenance(job.status);
    folded.hidden = !found;
    replace(origin, found);
  }

  const manifest = h("pre", {});
  function drawManifest(job) {
    if (!manifest.isConnected) replace(places.manifest, h("details", {}, h("summary", {}, "Manifest"), manifest));
    setText(manifest, job.manifest);
  }

  const stop = follow(path, {
    items: (items) => items.filter((each) => each.row).forEach(draw),
    failure: (text, code) => {
      if (code === 404) replace(head, h("div", { class: "card failed" }, h("h2", {}, `${name} is not there`), h("p", {}, text)));
      else if (!shown) replace(head, h("div", { class: "card failed" }, h("h2", {}, `${name} cannot be shown`), h("p", {}, text)));
      else notify(text);
    },
  });
  ask(`${path}/rights`).then((found) => { rights = found; if (shown) drawHead(shown); }, () => {});
  return { leave: () => { stop(); panel.leave(); log.leave(); }, keys: { Escape: () => go(`/?namespace=${encodeURIComponent(namespace)}`) } };
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notify(`${what} is in the clipboard.`);
  } catch {
    notify("The browser does not let the page write to the clipboard.");
  }
}
