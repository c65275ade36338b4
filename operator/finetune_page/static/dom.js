// Elements are made of nodes and texts alone: nothing that comes from the cluster is ever parsed as markup.

const there = (child) => child !== null && child !== undefined && child !== false;

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter(there));
  return element;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What stands between backticks is a command or a field.
export function prose(text) {
  return text.split("`").map((part, at, parts) => (at % 2 && at < parts.length - 1 ? h("code", {}, part) : at % 2 ? `\`${part}` : part));
}

// A text is written only where it changes, so that a selection in it and a reader's place stay.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat().filter(there));
}

// Gives the parent these children in this order. What is in its place is not touched: the browser lays out nothing of it anew, and what is selected in it stays so.
export function arrange(parent, wanted) {
  const there = [...parent.children];
  const places = new Map(there.map((each, at) => [each, at]));
  const stay = longestRising(wanted.map((each) => places.get(each) ?? -1));
  const kept = new Set(wanted);
  const focused = document.activeElement;
  for (const each of there) if (!kept.has(each)) each.remove();
  wanted.reduceRight((next, each, at) => {
    if (!stay.has(at)) put(parent, each, next);
    return each;
  }, null);
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

// A move keeps the focus, where a browser knows it.
function put(parent, child, next) {
  if (child.parentNode === parent && parent.moveBefore) parent.moveBefore(child, next);
  else parent.insertBefore(child, next);
}

// Where in the numbers a longest row of them stands that rises; those below zero are left out.
function longestRising(numbers) {
  const ends = [];
  const before = [];
  for (const [at, number] of numbers.entries()) {
    if (number < 0) continue;
    let [length, longer] = [0, ends.length];
    while (length < longer) {
      const middle = (length + longer) >> 1;
      if (numbers[ends[middle]] < number) length = middle + 1;
      else longer = middle;
    }
    before[at] = ends[length - 1];
    ends[length] = at;
  }
  const found = new Set();
  for (let at = ends.at(-1); at !== undefined; at = before[at]) found.add(at);
  return found;
}

export function notify(text) {
  setText(document.getElementById("notice"), text);
  clearTimeout(notify.timer);
  notify.timer = setTimeout(() => setText(document.getElementById("notice"), ""), 8000);
}

// What keeps the page from being up to date stands at its top until it is over. Each stream has its own; one is shown.
const alarms = new Map();
export function alarm(who, text, retry) {
  if (text) alarms.set(who, { text, retry });
  else alarms.delete(who);
  const place = document.getElementById("alarm");
  const first = [...alarms.values()][0];
  if (!first) return replace(place);
  if (place.firstChild?.textContent === first.text) return;
  replace(place, h("span", {}, first.text), h("button", { type: "button", onclick: () => [...alarms.values()].forEach((each) => each.retry()) }, "Try now"));
}

// The caption is for who cannot see the heading above; a head or cell may be a text or an element.
export function table(caption, heads, rows, kind = null) {
  const head = (text) => h("th", { scope: "col" }, text === "" ? h("span", { class: "unseen" }, "of what") : text);
  const cell = (content, at) => (at === 0 ? h("th", { scope: "row" }, content) : content instanceof Node && content.tagName === "TD" ? content : h("td", {}, content));
  // On a phone each row of records is a list of its cells, and each says which it is.
  const named = (made, at) => { if (typeof heads[at] === "string") made.dataset.head = heads[at]; return made; };
  return h("table", { class: kind },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, heads.map(head))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((content, at) => named(cell(content, at), at))))));
}

// Names and values, one below the other.
export function pairs(caption, rows) {
  return h("table", { class: "pairs" }, h("caption", { class: "unseen" }, caption), h("tbody", {}, rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)))));
}

// What may be wider or longer than its place: the keyboard can move in it.
export function scrolled(label, ...children) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, ...children);
}

// Asks before what cannot be taken back. Esc and the way out say no.
export function confirmed(question, yes) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "question", onclose: () => { resolve(dialog.returnValue === "yes"); dialog.remove(); } },
      h("p", { id: "question" }, question),
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close("no") }, "Keep it"), h("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, yes)));
    document.body.append(dialog);
    dialog.showModal();
  });
}
