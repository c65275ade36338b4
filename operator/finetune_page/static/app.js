// The page: which view an address shows, the way between views, and the keys.

import { alarm, h, replace } from "./dom.js";
import { ask } from "./events.js";
import { showComparison } from "./compare.js";
import { setNow } from "./format.js";
import { showJob } from "./job.js";
import { showList } from "./list.js";
import { showUsage } from "./usage.js";

const main = document.getElementById("main");
const ROUTES = [
  [/^\/$/, showList],
  [/^\/jobs\/([^/]+)\/([^/]+)$/, showJob],
  [/^\/compare$/, showComparison],
  [/^\/usage$/, showUsage],
];
let leave = null;
let keys = {};

// A view gets its place, the address and what it may change; it returns how it is left and which keys it takes.
function show() {
  leave?.();
  const address = new URL(location.href);
  const [pattern, view] = ROUTES.find(([each]) => each.test(address.pathname)) ?? ROUTES[0];
  const parts = (pattern.exec(address.pathname) ?? []).slice(1).map(decodeURIComponent);
  replace(main);
  const shown = view(main, { address, parts, go, setQuery, home });
  leave = shown.leave;
  keys = shown.keys ?? {};
  drawTop(address);
}

function go(path) {
  history.pushState(null, "", path);
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

// Filters live in the address, so that a view can be shared.
function setQuery(changes) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
}

let ownNamespace = "";
function home() {
  return ownNamespace;
}

function drawTop(address) {
  const namespace = address.searchParams.get("namespace") ?? ownNamespace;
  const link = (path, text) => h("a", { href: path, "aria-current": address.pathname === path.split("?")[0] ? "page" : null }, text);
  const query = namespace ? `?namespace=${encodeURIComponent(namespace)}` : "";
  replace(document.getElementById("top"), h("strong", {}, "FineTune"), h("nav", { "aria-label": "Views" }, link(`/${query}`, "Jobs"), link(`/usage${query}`, "Usage")));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (typing && event.key !== "Escape") return;
  if (typing) typing.blur();
  else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});
addEventListener("popstate", show);

async function begin() {
  try {
    const me = await ask("/api/me");
    ownNamespace = me.namespace;
    setNow(me.now);
    alarm("begin", "");
    show();
  } catch (error) {
    alarm("begin", `${error.message} It is tried again by itself.`, begin);
    clearTimeout(begin.timer);
    begin.timer = setTimeout(begin, 5000);
  }
}
begin();
