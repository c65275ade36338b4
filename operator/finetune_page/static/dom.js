// Elements are made of nodes and texts alone: nothing that comes from the cluster is ever parsed as markup.

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A text is written only where it changes, so that a selection in it and a reader's place stay.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
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

export function table(caption, heads, rows) {
  return h("table", {},
    h("caption", {}, caption),
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, at) =>
      at === 0 ? h("th", { scope: "row" }, cell) : cell instanceof Node && cell.tagName === "TD" ? cell : h("td", {}, cell))))));
}
