// A job: where it stands, why it waits or failed, and whether it learns; all else below.

import { curvesPanel, colour } from "./curves.js";
import { confirmed, h, notify, prose, replace, setText } from "./dom.js";
import { ask, follow, jobPath } from "./events.js";
import { age, duration, hours, metricName, number, SHAPES } from "./format.js";
import { logPanel } from "./log.js";
import { attempts, checkpoints, elsewhere, evaluations, preflight, usage } from "./parts.js";
import { provenance, rest } from "./provenance.js";

const PARTS = { attempts, preflight, evaluations, checkpoints, elsewhere, usage };

export function showJob(main, { parts: [namespace, name], go }) {
  document.title = `FineTune · ${name}`;
  const path = jobPath(namespace, name);
  const list = `/?namespace=${encodeURIComponent(namespace)}`;
  const head = h("div", { class: "jobhead" }, h("div", { class: "skeleton", "aria-hidden": "true" }), h("div", { class: "skeleton", "aria-hidden": "true" }));
  const card = h("div", {});
  const panel = curvesPanel();
  const places = Object.fromEntries([...Object.keys(PARTS), "events"].map((each) => [each, h("section", { id: each })]));
  const log = logPanel(path, name);
  const origin = folded("Provenance and profile", "provenance");
  const others = folded("Conditions and all else", "status");
  const manifest = folded("Manifest", "manifest");
  // Seen once there is something to see: nothing below the head stands there empty.
  const content = h("div", { hidden: true }, panel.element, ...Object.values(places), log.element, origin.element, others.element, manifest.element);
  main.append(h("nav", { "aria-label": "Way back", class: "back" }, h("a", { href: list }, `← jobs of ${namespace}`)), head, card, content);
  content.addEventListener("click", (event) => { if (event.target.dataset.find) log.find(event.target.dataset.find); });
  let rights = {};
  let shown = null;
  let explained = "";
  let listed = "";

  function draw(job) {
    shown = job;
    content.hidden = false;
    drawHead(job);
    panel.update([{ name, colour: colour(0), curves: job.curves, status: job.status }]);
    for (const [part, make] of Object.entries(PARTS)) keep(places[part], make(job.status));
    origin.update(provenance(job.status));
    others.update(rest(job.status));
    manifest.update(h("pre", { tabindex: 0 }, job.manifest));
    drawWhy(job);
  }

  // Asked for once in each state, and again where there was no answer: a job that has ended may never change.
  function drawWhy(job) {
    const state = `${job.row.phase} ${job.row.urgent} ${job.row.why}`;
    if (state !== explained) explain(job, (explained = state));
    if (state !== listed) drawEvents((listed = state));
  }

  const phase = h("span", {});
  const message = h("p", { class: "message" });
  const facts = h("dl", { class: "facts" });
  const meter = h("progress", { max: 100, "aria-label": "Progress" });
  const buttons = h("div", { class: "buttons" });
  let buttoned = "";
  function drawHead({ row, status, suspended, message: text }) {
    if (!phase.isConnected) replace(head, h("div", { class: "title" }, h("h1", {}, h("bdi", {}, name)), phase, buttons), message, meter, facts);
    phase.className = `phase pill ${row.phase}`;
    setText(phase, `${SHAPES[row.phase]} ${row.deleting ? "Deleting" : row.phase}`);
    setText(message, text);
    meter.hidden = row.percent === null;
    meter.className = row.phase;
    meter.value = row.percent ?? 0;
    keep(facts, factsOf(row, status).map(([term, value, title]) => h("div", {}, h("dt", {}, term), h("dd", { title }, value))));
    const ended = ["Succeeded", "Failed"].includes(row.phase);
    const now = JSON.stringify([ended, suspended, row.deleting, rights, Boolean(status.model)]);
    if (buttoned === now && buttons.isConnected) return;
    buttoned = now;
    // New buttons would lose the keyboard's focus: the rights may be known only after a reader has gone to one.
    const focused = buttons.contains(document.activeElement) && document.activeElement.textContent;
    replace(buttons, ...row.deleting ? [] : [
      !ended && !suspended && rights.suspend && button("Suspend", "suspend"),
      suspended && !ended && rights.resume && button("Resume", "resume"),
      ended && rights.rerun && button("Run again", "rerun"),
      rights.delete && button(ended ? "Delete" : "Cancel", "delete", `${ended ? "Delete" : "Cancel and delete"} ${name} and its pods? What it has saved stays, unless its output says otherwise.`)],
      h("button", { type: "button", onclick: () => copy(shown.manifest, "The manifest") }, "Copy manifest"),
      status.model && h("button", { type: "button", onclick: () => copy(`finetune download ${name} --namespace ${namespace}`, "The command that downloads the model") }, "Copy download command"));
    if (focused) [...buttons.children].find((each) => each.textContent === focused)?.focus();
  }

  function button(text, action, question) {
    const made = h("button", { type: "button", class: action, onclick: async () => {
      // Another may be made under the name while the question is on the screen.
      const { uid } = shown.row;
      if (question && !await confirmed(question, text === "Cancel" ? "Cancel the job" : text)) return;
      made.disabled = true;
      try {
        await ask(`${path}/${action}?uid=${encodeURIComponent(uid)}`, "POST");
        if (action === "delete") go(list);
      } catch (error) {
        notify(error.message);
      }
      made.disabled = false;
    } }, text);
    return made;
  }

  async function explain({ row }, state) {
    if (["Running", "Succeeded"].includes(row.phase) && !row.urgent) {
      message.hidden = false;
      return replace(card);
    }
    try {
      const why = await ask(`${path}/explanation`);
      if (state !== explained) return;
      // Once is enough.
      message.hidden = why.message === shown.message;
      const tail = shown.status.failure?.logTail;
      replace(card, h("section", { class: `card ${row.urgent ? "failed" : "waits"}`, "aria-label": "Why it is so" },
        h("div", { class: "since" }, h("h2", {}, why.reason || why.phase), why.since && h("time", { class: "muted", datetime: why.since, title: why.since }, `since ${age(why.since)}`)), h("p", {}, why.message),
        why.remedy && h("p", {}, h("strong", {}, "What to do: "), prose(why.remedy)),
        why.meaning && why.meaning !== why.message && h("p", { class: "muted" }, why.meaning),
        (tail || why.proof) && h("pre", { tabindex: 0, "aria-label": "What proves it" }, tail || why.proof)));
    } catch (error) {
      if (state !== explained) return;
      explained = "";
      replace(card, h("div", { class: "card waits" }, h("p", {}, error.message)));
    }
  }

  async function drawEvents(state) {
    let found;
    try {
      found = await ask(`${path}/events`);
    } catch (error) {
      found = { events: [], notice: error.message, again: true };
    }
    if (state !== listed) return;
    if (found.again) listed = "";
    const rows = found.events.map((event) => h("li", { class: event.type },
      h("time", { datetime: event.time, title: event.time, class: "muted" }, `${age(event.time)} ago`), h("span", {}, h("strong", {}, event.reason), h("span", { class: "muted" }, ` ${event.about}`), h("br"), h("bdi", {}, event.message), event.count > 1 && h("span", { class: "muted" }, ` · ${event.count} times`))));
    replace(places.events, h("h2", {}, "Events"), found.notice ? h("p", { class: "muted" }, found.notice) : rows.length ? h("ul", { class: "events" }, rows) : h("p", { class: "muted" }, "None: Kubernetes forgets them after an hour."));
  }

  const stop = follow(path, {
    begin: () => {
      explained = listed = "";
      ask(`${path}/rights`).then((found) => { rights = found; if (shown) drawHead(shown); }, () => {});
    },
    items: (items) => {
      items.filter((each) => each.row).forEach(draw);
      if (shown && items.some((each) => each.synced)) drawWhy(shown);
    },
    failure: (text, code) => {
      if (code === 404) {
        shown = null;
        explained = listed = "";
        content.hidden = true;
        replace(card);
        replace(head, h("h1", {}, h("bdi", {}, name)), h("div", { class: "card failed" }, h("h2", {}, "It is not there"), h("p", {}, text), h("p", {}, h("a", { href: list }, "See the jobs that are"))));
      } else if (!shown) replace(head, h("h1", {}, h("bdi", {}, name)), h("div", { class: "card failed" }, h("h2", {}, "It cannot be shown"), h("p", {}, text),
        code === 403 && h("p", {}, h("strong", {}, "What to do: "), `ask the administrator of namespace ${namespace} for the right to get finetunejobs, or to list them.`)));
    },
  });
  const clock = setInterval(() => {
    if (!shown) return;
    drawHead(shown);
    drawWhy(shown);
  }, 10_000);
  return { leave: () => { clearInterval(clock); stop(); panel.leave(); log.leave(); }, keys: { Escape: () => go(list) } };
}

function factsOf(row, status) {
  const { progress, usage: used, bestCheckpoint: best, run } = status;
  const speed = progress?.samplesPerSecond;
  return [
    row.percent !== null && ["progress", `${row.percent} %`],
    progress?.totalSteps && ["step", `${number(progress.step)} of ${number(progress.totalSteps)}`],
    progress?.epoch && ["epoch", number(progress.epoch)],
    row.etaSeconds && ["time left", duration(row.etaSeconds)],
    speed && ["rows a second", number(speed)],
    best ? [`best ${metricName(best.metric)}`, number(best.value), `at step ${best.step}`] : row.best !== "–" && ["best", row.best],
    ["GPU-hours", hours(row.gpuSeconds)],
    used?.cost && ["cost", `${used.cost.amount} ${used.cost.currency}`],
    run && run.number > 1 && ["run", String(run.number)],
    status.attempts?.length > 1 && ["attempts", String(status.attempts.at(-1).number)],
    ["age", age(row.created), row.created],
  ].filter(Boolean);
}

// A part that says the same stays as it is: so do a selection in it, its place and the keyboard's focus.
const drawn = new WeakMap();
function keep(place, content) {
  const made = h("div", {}, content);
  const now = made.innerHTML;
  if (drawn.get(place) === now) return;
  drawn.set(place, now);
  place.replaceChildren(...made.childNodes);
}

// Made once, so that what the reader has opened stays open.
function folded(title, id) {
  const place = h("div", {});
  const element = h("details", { id, hidden: true }, h("summary", {}, title), place);
  return { element, update: (content) => { element.hidden = !content; keep(place, content ? [content].flat() : []); } };
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notify(`${what} is in the clipboard.`);
  } catch {
    notify("The browser does not let the page write to the clipboard.");
  }
}
