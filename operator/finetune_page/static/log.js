// The log: the newest lines first, more on demand; it follows, can be searched, and keeps its place.

import { h, replace, setText } from "./dom.js";
import { follow } from "./events.js";

// Lines of each attempt that are asked for, one after the other, and the most of all attempts that a browser can hold.
const TAILS = [1000, 5000, 20000];
const MOST_LINES = 20000;
const MOST_CHARACTERS = 8_000_000;

export function logPanel(path, name) {
  const lines = h("div", { class: "lines" });
  const log = h("pre", { class: "log", tabindex: 0, role: "log", "aria-label": "Log", "aria-live": "off" }, lines);
  const state = h("span", { class: "muted" });
  const found = h("span", { class: "muted" });
  const earlier = h("div", { class: "earlier" });
  const search = h("input", { type: "search", placeholder: "search the log", "aria-label": "Search the log", oninput: () => sift() });
  const bottom = h("button", { type: "button", onclick: () => { log.scrollTop = 0; } }, "To the end");
  const element = h("details", { class: "logs", ontoggle: () => (element.open ? begin() : leave()) }, h("summary", {}, "Log"), h("div", { class: "bar" }, search, found, bottom, state), earlier, log);
  let stop = null;
  let tail = 0;
  let characters = 0;
  let dropped = false;
  let ofPod = new Map();
  let anchor = null;

  function begin() {
    if (stop) return;
    setText(state, "following");
    stop = follow(`${path}/log?tail=${TAILS[tail]}`, { begin: anew, items: add, failure: (message) => setText(state, message), end: () => setText(state, "the run has ended") });
  }

  // A scroller of reversed direction begins at its end, which is its zero, and stays there by itself whatever grows: lines that come, that wrap in a
  // narrower window, or that get their height once they come into sight. Who has scrolled up stays with what they read by the browser's scroll anchoring.
  const isAtEnd = () => log.scrollTop > -8;
  const anchors = CSS.supports("overflow-anchor", "auto");

  // What a reader looks at is found again among the lines of the next connection, by its text.
  function anew() {
    const top = log.getBoundingClientRect().top;
    const first = isAtEnd() ? null : [...lines.children].find((line) => !line.hidden && line.getBoundingClientRect().bottom > top);
    anchor = first ? { text: first.textContent, time: first.title, offset: first.getBoundingClientRect().top - top } : null;
    lines.replaceChildren();
    characters = 0;
    dropped = false;
    ofPod = new Map();
  }

  function add(items) {
    if (!items.length) return;
    const added = items.map(({ text, pod, time }) => {
      if (pod) ofPod.set(pod, (ofPod.get(pod) ?? 0) + 1);
      characters += text.length;
      const line = h("div", { class: pod ? null : "notice", title: time || null }, text || " ");
      line.hidden = !matches(line);
      return line;
    });
    const held = anchors || isAtEnd() ? null : log.scrollHeight;
    lines.append(...added);
    if (held !== null) log.scrollTop -= log.scrollHeight - held;
    while (lines.childElementCount > MOST_LINES || characters > MOST_CHARACTERS) {
      characters -= lines.firstChild.textContent.length;
      lines.firstChild.remove();
      dropped = true;
    }
    const again = anchor && added.find((line) => line.title === anchor.time && line.textContent === anchor.text);
    if (again) {
      log.scrollTop += again.getBoundingClientRect().top - log.getBoundingClientRect().top - anchor.offset;
      anchor = null;
    }
    drawEarlier();
    drawFound();
  }

  let shown = "";
  function drawEarlier() {
    const cut = [...ofPod.values()].some((count) => count >= TAILS[tail]);
    const now = dropped || (cut && tail === TAILS.length - 1) ? "whole" : cut ? "more" : "";
    if (shown === `${now}${tail}`) return;
    shown = `${now}${tail}`;
    if (now === "more") replace(earlier, h("button", { type: "button", onclick: more }, "Show earlier lines"), h("span", { class: "muted" }, ` these are the newest ${TAILS[tail].toLocaleString("en-US")} of each attempt`));
    else replace(earlier, now === "whole" && h("span", { class: "muted" }, "Earlier lines are too many for a page. All of them: ", h("code", {}, `finetune logs ${name}`)));
  }

  function more() {
    tail += 1;
    leave();
    begin();
  }

  // Shows what another part of the page says is here.
  function find(words) {
    element.open = true;
    search.value = words;
    sift();
    search.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
  }

  const matches = (line) => !search.value || line.textContent.toLowerCase().includes(search.value.toLowerCase());
  function sift() {
    for (const line of lines.children) line.hidden = !matches(line);
    drawFound();
  }

  function drawFound() {
    setText(found, search.value ? `${lines.querySelectorAll(":scope > :not([hidden])").length.toLocaleString("en-US")} of ${lines.childElementCount.toLocaleString("en-US")} lines` : "");
  }

  function leave() {
    stop?.();
    stop = null;
  }
  return { element, find, leave };
}
