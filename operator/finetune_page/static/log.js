// The log: it follows, can be searched, and keeps its place.

import { h, setText } from "./dom.js";
import { follow } from "./events.js";

const MOST_LINES = 5000;

export function logPanel(path) {
  const lines = h("pre", { class: "log", tabindex: 0, "aria-label": "Log" });
  const state = h("span", { class: "muted" });
  const search = h("input", { type: "search", placeholder: "search the log", "aria-label": "Search the log", oninput: () => sift() });
  const element = h("details", { class: "logs", ontoggle: () => (element.open ? begin() : leave()) }, h("summary", {}, "Log"), h("div", { class: "bar" }, search, state), lines);
  let stop = null;

  function begin() {
    if (stop) return;
    setText(state, "following");
    stop = follow(`${path}/log`, { begin: anew, items: add, failure: (message) => setText(state, message), end: () => setText(state, "the run has ended") });
  }

  let place = null;
  function anew() {
    if (!isAtEnd()) place = lines.scrollTop;
    lines.replaceChildren();
  }

  const isAtEnd = () => lines.scrollHeight - lines.scrollTop - lines.clientHeight < 8;
  function add(items) {
    const atEnd = isAtEnd();
    lines.append(...items.map((item) => {
      const line = h("div", { class: item.pod ? null : "notice" }, item.text || " ");
      line.hidden = !matches(line);
      return line;
    }));
    while (lines.childElementCount > MOST_LINES) lines.firstChild.remove();
    if (place !== null) {
      // A reader's place comes back with the lines around it.
      lines.scrollTop = place;
      if (lines.scrollTop === place) place = null;
    } else if (atEnd) lines.scrollTop = lines.scrollHeight;
  }

  const matches = (line) => !search.value || line.textContent.toLowerCase().includes(search.value.toLowerCase());
  function sift() {
    for (const line of lines.children) line.hidden = !matches(line);
  }

  function leave() {
    stop?.();
    stop = null;
  }
  return { element, leave };
}
