// How are my jobs, and why is this one not running: without a click.

import { h, notify, replace, setText, svg } from "./dom.js";
import { follow } from "./events.js";
import { age, duration, hours, SHAPES, thisMonth } from "./format.js";

const PHASES = ["Running", "Queued", "Failed", "Succeeded", "Pending", "Preparing", "Suspended"];
const ALL = "*";

export function showList(main, { address, go, setQuery, home }) {
  const jobs = new Map();
  const rows = new Map();
  const chosen = new Set();
  const filters = {
    namespace: address.searchParams.get("namespace") ?? home(),
    phase: address.searchParams.get("phase") ?? "",
    q: address.searchParams.get("q") ?? "",
  };
  let at = null;
  let drawn = "";
  let counted = "";
  let stop = null;
  document.title = "FineTune · jobs";

  const search = h("input", { type: "search", placeholder: "search  /", "aria-label": "Search by name or reason", value: filters.q, oninput: () => filter({ q: search.value }) });
  const namespace = h("input", { type: "text", "aria-label": "Namespace, * for all", value: filters.namespace, size: 16, onchange: () => { filter({ namespace: namespace.value.trim() || home() }); open(); } });
  const counts = h("div", { class: "counts", role: "group", "aria-label": "Filter by phase" });
  const usage = h("span", { class: "muted", id: "usage" });
  const compare = h("button", { type: "button", disabled: true, onclick: () => go(`/compare?${[...chosen].map((uid) => `job=${encodeURIComponent(`${jobs.get(uid).namespace}/${jobs.get(uid).name}`)}`).join("&")}`) }, "Compare");
  const head = h("div", { class: "row head", role: "row" }, ["", "name", "phase", "progress", "loss", "best", "why / what next", "GPU-h", "age"].map((text) => h("div", { role: "columnheader" }, text)));
  const body = h("div", { class: "rows", role: "rowgroup" });
  const empty = h("div", { class: "empty" }, skeleton());
  main.append(
    h("div", { class: "bar" }, h("label", {}, "namespace ", namespace), search, counts, compare, usage),
    h("div", { class: "grid", role: "table", "aria-label": "Jobs" }, h("div", { role: "rowgroup" }, head), body), empty);

  function filter(changes) {
    Object.assign(filters, changes);
    setQuery({ ...filters, namespace: filters.namespace === home() ? "" : filters.namespace });
    draw();
  }

  function matches(job) {
    const words = filters.q.toLowerCase();
    return (!filters.phase || job.phase === filters.phase) && (!words || `${job.namespace}/${job.name} ${job.why}`.toLowerCase().includes(words));
  }

  function draw() {
    const shown = [...jobs.values()].filter(matches).sort(byUrgency);
    const order = shown.map((job) => job.uid).join();
    if (order !== drawn) {
      body.replaceChildren(...shown.map((job) => rows.get(job.uid).element));
      drawn = order;
    }
    drawCounts();
    const none = jobs.size === 0
      ? ["No jobs here. ", h("code", {}, "finetune init data.csv"), " writes a manifest, ", h("code", {}, "finetune submit job.yaml"), " submits it."]
      : shown.length === 0 ? ["No job matches. ", h("button", { type: "button", onclick: () => { search.value = ""; filter({ q: "", phase: "" }); } }, "Show all")] : [];
    if (synced) replace(empty, ...none);
    const seconds = [...jobs.values()].reduce((sum, job) => sum + ofMonth(job), 0);
    setText(usage, `usage: ${hours(seconds)} GPU-h this month`);
    compare.disabled = chosen.size < 2 || chosen.size > 8;
  }

  function drawCounts() {
    const of = (phase) => [...jobs.values()].filter((job) => job.phase === phase).length;
    const shown = PHASES.map((phase) => [phase, of(phase), filters.phase === phase]).filter(([, count, pressed]) => count || pressed);
    // New buttons would lose the keyboard's focus.
    if (counted === shown.join()) return;
    counted = shown.join();
    replace(counts, shown.map(([phase, count, pressed]) =>
      h("button", { type: "button", class: `phase ${phase}`, "aria-pressed": String(pressed), onclick: () => filter({ phase: pressed ? "" : phase }) }, `${SHAPES[phase]} ${phase} ${count}`)));
  }

  let synced = false;
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
        if (!rows.has(item.uid)) rows.set(item.uid, makeRow(item, chosen, draw, filters));
        rows.get(item.uid).update(item);
      }
    }
    draw();
  }

  function open() {
    stop?.();
    jobs.clear(); rows.clear(); chosen.clear();
    drawn = ""; synced = false;
    replace(empty, skeleton());
    const query = filters.namespace === ALL ? "" : `?namespace=${encodeURIComponent(filters.namespace)}`;
    stop = follow(`/api/jobs${query}`, { begin: () => { unseen = new Set(jobs.keys()); }, items: take, failure: (message) => { replace(empty, h("div", { class: "card failed" }, message)); notify(message); } });
  }

  function move(by) {
    const all = [...body.children];
    if (!all.length) return;
    const place = Math.min(all.length - 1, Math.max(0, (at && all.indexOf(at) >= 0 ? all.indexOf(at) : by > 0 ? -1 : all.length) + by));
    at = all[place];
    at.querySelector("a").focus();
    at.scrollIntoView({ block: "nearest" });
  }

  const clock = setInterval(() => rows.forEach((row) => row.tick()), 10_000);
  open();
  return {
    leave: () => { clearInterval(clock); stop?.(); },
    keys: { "/": () => search.focus(), j: () => move(1), k: () => move(-1), Escape: () => { search.value = ""; filter({ q: "", phase: "" }); } },
  };
}

function byUrgency(one, other) {
  return other.urgent - one.urgent || (one.created < other.created) - (one.created > other.created) || one.name.localeCompare(other.name);
}

function ofMonth(job) {
  return job.month?.month === thisMonth() ? job.month.gpuSeconds : 0;
}

function makeRow(job, chosen, draw, filters) {
  const place = `/jobs/${encodeURIComponent(job.namespace)}/${encodeURIComponent(job.name)}`;
  const title = h("a", { href: place }, filters.namespace === ALL ? `${job.namespace}/${job.name}` : job.name);
  const pick = h("input", { type: "checkbox", "aria-label": `Compare ${job.name}`, onchange: () => { if (pick.checked) chosen.add(job.uid); else chosen.delete(job.uid); draw(); } });
  const [phase, bar, left, loss, best, why, gpu, old] = Array.from({ length: 8 }, () => h("span", {}));
  const meter = h("progress", { max: 100, "aria-label": "Progress" });
  bar.append(meter, left);
  const cell = (name, ...content) => h("div", { class: name, role: "cell" }, ...content);
  const element = h("div", { class: "row", role: "row" }, cell("pick", pick), cell("name", title), cell("phasecell", phase), cell("progress", bar), cell("loss", loss), cell("best", best), cell("why", why), cell("gpu", gpu), cell("age", old));
  let points = null;
  let created = job.created;

  function update(now) {
    created = now.created;
    phase.className = `phase ${now.phase}`;
    setText(phase, `${SHAPES[now.phase]} ${now.deleting ? "Deleting" : now.phase}`);
    meter.hidden = now.percent === null;
    meter.value = now.percent ?? 0;
    setText(left, now.percent === null ? "–" : ` ${now.percent} %${now.etaSeconds ? `  ${duration(now.etaSeconds)}` : ""}`);
    if (points !== now.loss.join()) {
      points = now.loss.join();
      replace(loss, spark(now.loss));
    }
    setText(best, now.best);
    setText(why, now.why);
    why.title = now.why;
    setText(gpu, hours(now.gpuSeconds));
    tick();
  }

  function tick() {
    setText(old, age(created));
    old.title = created;
  }
  return { element, update, tick };
}

function spark(values, width = 84, height = 20) {
  if (values.length < 2) return values.length ? "▇" : "–";
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (place) => 1 + (place * (width - 2)) / (values.length - 1);
  const y = (value) => 1 + (height - 2) * (high === low ? 0.5 : (high - value) / (high - low));
  const path = values.map((value, place) => `${place ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "spark", role: "img", "aria-label": `Loss from ${values[0]} to ${values.at(-1)}` }, svg("path", { d: path }));
}

function skeleton() {
  return Array.from({ length: 4 }, () => h("div", { class: "skeleton", "aria-hidden": "true" }));
}
