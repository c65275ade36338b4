// The page: which view an address shows, the way between views, and the keys.

import { alarm, h, replace } from "./dom.js";
import { ask, sentence } from "./events.js";
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
let shown = "";

// A view gets its place, the address and what it may change; it returns how it is left and which keys it takes.
function show() {
  leave?.();
  const address = new URL(location.href);
  shown = address.pathname + address.search;
  const [pattern, view] = ROUTES.find(([each]) => each.test(address.pathname)) ?? ROUTES[0];
  const parts = (pattern.exec(address.pathname) ?? []).slice(1).map(decodeURIComponent);
  replace(main);
  const made = view(main, { address, parts, go, setQuery, home });
  leave = made.leave;
  keys = made.keys ?? {};
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
    if (name === "namespace" && value) localStorage.setItem(LAST, value);
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
  shown = address.pathname + address.search;
  drawTop(address);
}

// Where one looked last, or else the namespace of the kubeconfig; behind a proxy that is the page's own, which tells nothing of the user.
const LAST = "namespace";
let ownNamespace = "";
function home() {
  return localStorage.getItem(LAST) || ownNamespace;
}

function drawTop(address) {
  const namespace = address.searchParams.get("namespace") ?? (address.pathname.startsWith("/jobs/") ? decodeURIComponent(address.pathname.split("/")[2]) : home());
  const link = (path, text) => h("a", { href: path, "aria-current": address.pathname === path.split("?")[0] ? "page" : null }, text);
  const query = namespace ? `?namespace=${encodeURIComponent(namespace)}` : "";
  const top = document.getElementById("top");
  // New links would lose the keyboard's focus.
  if (top.dataset.shown === address.pathname + query) return;
  top.dataset.shown = address.pathname + query;
  replace(top, h("img", { src: "/static/icon.svg", alt: "", width: 18, height: 18 }), h("strong", {}, "FineTune"), h("nav", { "aria-label": "Views" }, link(`/${query}`, "Jobs"), link(`/usage${query}`, "Usage")));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("dialog")) return;
  const typing = event.target.closest?.("input:not([type='checkbox'], [type='range']), select, textarea");
  if (typing && event.key !== "Escape") return;
  if (typing) {
    // The browser would empty the field, though what was searched for still holds.
    event.preventDefault();
    typing.blur();
  } else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});
// The link to the content changes the address, but not the view.
addEventListener("popstate", () => { if (location.pathname + location.search !== shown) show(); });

async function begin() {
  try {
    const me = await ask("/api/me");
    ownNamespace = me.namespace;
    setNow(me.now);
    alarm("begin", "");
    show();
  } catch (error) {
    alarm("begin", `${sentence(error.message)} It is tried again by itself.`, begin);
    clearTimeout(begin.timer);
    begin.timer = setTimeout(begin, 5000);
  }
}
begin();
