// How are my jobs, and why is this one not running: without a click.

import { budgetOf, inWords, presentBudgets, usedBy } from "./budget.js";
import { arrange, h, replace, setText } from "./dom.js";
import { follow } from "./events.js";
import { SHAPES } from "./format.js";
import { ALL, jobsPath, namespaceField } from "./namespace.js";
import { makeRow } from "./row.js";
import { EXAMPLE, matcher } from "./search.js";

const PHASES = ["Running", "Queued", "Pending", "Preparing", "Suspended", "Failed", "Succeeded"];
// Rows that are made at a time: more than anybody reads, and no more than a browser draws at once.
const PAGE = 500;
// Rows that are made in one go: the browser answers the reader in between.
const AT_ONCE = 100;
// Rows that are drawn before all jobs have come jump. Rather that than nothing for long.
const PATIENCE_MILLISECONDS = 2000;

export function showList(main, { address, go, setQuery, home }) {
  const jobs = new Map();
  const rows = new Map();
  const chosen = new Set();
  const filters = {
    namespace: address.searchParams.get("namespace") ?? home(),
    phase: address.searchParams.get("phase") ?? "",
    q: address.searchParams.get("q") ?? "",
  };
  let most = PAGE;
  let at = null;
  let drawn = "";
  let counted = "";
  let stop = null;
  document.title = "FineTune · jobs";

  const search = h("input", { type: "search", placeholder: `search  /   ${EXAMPLE}`, title: `Words of name or reason, and bounds: ${EXAMPLE}`, "aria-label": "Search by name or reason", value: filters.q, oninput: () => filter({ q: search.value }) });
  const namespace = namespaceField(filters.namespace, (name) => { filter({ namespace: name || home() }); open(); });
  const counts = h("div", { class: "counts", role: "group", "aria-label": "Filter by phase" });
  const usage = h("a", { class: "usage", href: "/usage" });
  const compare = h("button", { type: "button", disabled: true, title: "Tick two to eight jobs to compare them", onclick: () => go(`/compare?${[...chosen].map((uid) => `job=${encodeURIComponent(`${jobs.get(uid).namespace}/${jobs.get(uid).name}`)}`).join("&")}`) }, "Compare");
  const head = h("div", { class: "row head", role: "row" }, ["", "name", "phase", "progress", "loss", "best", "why / what next", "GPU-h", "age"].map((text) => h("div", { role: "columnheader" }, text || h("span", { class: "unseen" }, "compare"))));
  const body = h("div", { class: "rows", role: "rowgroup" });
  const rest = h("div", { class: "rest" });
  const empty = h("div", { class: "empty" }, skeleton());
  main.append(
    h("h1", { class: "unseen" }, "Jobs"),
    h("div", { class: "bar" }, namespace, search, compare, usage), counts,
    h("div", { class: "grid", role: "table", "aria-label": "Jobs" }, h("div", { role: "rowgroup" }, head), body), rest, empty);

  function filter(changes) {
    Object.assign(filters, changes);
    most = PAGE;
    setQuery(filters);
    draw();
  }

  // What comes together is drawn once.
  let waits = 0;
  function soon() {
    waits ||= requestAnimationFrame(draw);
  }

  function draw() {
    waits = 0;
    if (!synced && performance.now() - opened < PATIENCE_MILLISECONDS) return;
    const matches = matcher(filters.q);
    const found = [...jobs.values()].filter((job) => (!filters.phase || job.phase === filters.phase) && matches(job)).sort(byUrgency);
    const shown = withRows(found.slice(0, most));
    const order = shown.map((job) => job.uid).join();
    if (order !== drawn) {
      drawn = order;
      arrange(body, shown.map((job) => rows.get(job.uid).element));
    }
    drawCounts();
    replace(rest, !synced && jobs.size > 0 && h("p", { class: "muted" }, `${jobs.size.toLocaleString("en-US")} jobs so far, more are coming`), found.length > most && h("button", { type: "button", onclick: () => { most += PAGE; draw(); } }, `Show ${Math.min(PAGE, found.length - most)} more of ${(found.length - most).toLocaleString("en-US")}`));
    if (synced) replace(empty, jobs.size === 0
      ? ["No jobs here yet. ", h("code", {}, "finetune init data.csv"), " writes a manifest, ", h("code", {}, "finetune submit job.yaml"), " submits it."]
      : shown.length === 0 ? ["No job matches. ", h("button", { type: "button", onclick: showAll }, "Show all")] : []);
    else if (jobs.size) replace(empty);
    const all = [...jobs.values()];
    setText(usage, inWords(filters.namespace === ALL ? { used: usedBy(all), budgets: [] } : budgetOf(all, present)));
    usage.setAttribute("href", `/usage?namespace=${encodeURIComponent(filters.namespace)}`);
    drawCompare();
  }

  function withRows(wanted) {
    let made = 0;
    for (const [at, job] of wanted.entries()) {
      if (!rows.has(job.uid)) {
        if (made === AT_ONCE) {
          soon();
          return wanted.slice(0, at);
        }
        made += 1;
        rows.set(job.uid, makeRow(job, { withNamespace: filters.namespace === ALL, choose }));
      }
      rows.get(job.uid).update(job);
    }
    return wanted;
  }

  function drawCompare() {
    setText(compare, chosen.size ? `Compare ${chosen.size}` : "Compare");
    compare.disabled = chosen.size < 2 || chosen.size > 8;
  }

  function choose(uid, isChosen) {
    if (isChosen) chosen.add(uid);
    else chosen.delete(uid);
    drawCompare();
  }

  function drawCounts() {
    const ofPhase = new Map();
    for (const { phase } of jobs.values()) ofPhase.set(phase, (ofPhase.get(phase) ?? 0) + 1);
    const shown = PHASES.map((phase) => [phase, ofPhase.get(phase) ?? 0, filters.phase === phase]).filter(([, count, pressed]) => count || pressed);
    if (counted === shown.join()) return;
    counted = shown.join();
    // New buttons would lose the keyboard's focus.
    const focused = [...counts.children].indexOf(document.activeElement);
    const buttons = shown.map(([phase, count, pressed]) =>
      h("button", { type: "button", class: `phase ${phase}`, "aria-pressed": String(pressed), onclick: () => filter({ phase: pressed ? "" : phase }) }, `${SHAPES[phase]} ${phase} ${count.toLocaleString("en-US")}`));
    replace(counts, buttons);
    if (focused >= 0) buttons[Math.min(focused, buttons.length - 1)]?.focus({ preventScroll: true });
  }

  function showAll() {
    search.value = "";
    filter({ q: "", phase: "" });
  }

  let synced = false;
  let opened = 0;
  // Jobs of a connection that broke, as long as the next one has not sent them: what is left of them at its end was deleted meanwhile.
  let unseen = new Set();
  function forget(uid) {
    jobs.delete(uid); rows.delete(uid); chosen.delete(uid);
  }

  function take(items) {
    for (const item of items) {
      if (item.synced) {
        synced = true;
        unseen.forEach(forget);
        unseen.clear();
      } else if (item.gone) forget(item.gone);
      else {
        unseen.delete(item.uid);
        jobs.set(item.uid, item);
      }
    }
    soon();
  }

  // It is asked again and again: the card stays as it is, with what is being typed in it.
  let refusal = "";
  function refused(message, code) {
    if (code !== 403 || refusal === message && empty.querySelector(".card")) return;
    refusal = message;
    const { namespace } = filters;
    const where = namespace === ALL ? "all namespaces" : `namespace ${namespace}`;
    const name = h("input", { type: "text", size: 24, spellcheck: "false", autocapitalize: "off" });
    const opens = h("form", { class: "bar", onsubmit: (event) => { event.preventDefault(); if (name.value.trim()) go(`/jobs/${encodeURIComponent(namespace)}/${encodeURIComponent(name.value.trim())}`); } },
      h("label", {}, "A job that you may get: ", name), h("button", {}, "Open"));
    replace(empty, h("div", { class: "card failed" }, h("h2", {}, `You may not list jobs in ${where}`), h("p", {}, message),
      h("p", {}, h("strong", {}, "What to do: "), "type a namespace of yours above, or ask its administrator for the right to list finetunejobs."), namespace !== ALL && opens));
  }

  function open() {
    stop?.();
    jobs.clear(); rows.clear(); chosen.clear(); unseen.clear();
    drawn = counted = ""; synced = false; opened = performance.now();
    replace(body); replace(counts); replace(rest);
    replace(empty, skeleton());
    stop = follow(jobsPath(filters.namespace), { begin: () => { unseen = new Set(jobs.keys()); }, items: take, failure: refused, lasting: true });
  }

  function move(by) {
    const all = [...body.children];
    if (!all.length) return;
    const place = Math.min(all.length - 1, Math.max(0, (at && all.indexOf(at) >= 0 ? all.indexOf(at) : by > 0 ? -1 : all.length) + by));
    at = all[place];
    at.querySelector("a").focus();
    at.scrollIntoView({ block: "nearest" });
  }

  let present = {};
  presentBudgets().then((found) => { present = found; soon(); });
  const clock = setInterval(() => rows.forEach((row) => row.tick()), 10_000);
  // Whoever is sent the address sees the same namespace, whatever their own is.
  setQuery({ namespace: filters.namespace });
  open();
  return {
    leave: () => { clearInterval(clock); cancelAnimationFrame(waits); stop?.(); },
    keys: { "/": () => search.focus(), j: () => move(1), k: () => move(-1), Escape: showAll },
  };
}

function byUrgency(one, other) {
  return other.urgent - one.urgent || (one.created < other.created) - (one.created > other.created) || (one.name > other.name) - (one.name < other.name);
}

function skeleton() {
  return Array.from({ length: 4 }, () => h("div", { class: "skeleton", "aria-hidden": "true" }));
}
