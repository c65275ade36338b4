// What the server sends as it happens. The browser makes a broken connection again by itself, and is then sent everything anew.

import { notify } from "./dom.js";

// A browser has six connections to a server, for all its tabs together: a tab that nobody looks at gives its own back.
const UNSEEN_MILLISECONDS = 5000;

// `begin` comes before the first items of each connection.
export function follow(path, { begin, items, failure, end }) {
  let source = null;
  let timer = 0;

  function open() {
    const opened = new EventSource(path);
    source = opened;
    let fresh = true;
    let failed = false;
    opened.addEventListener("open", () => { fresh = true; });
    opened.addEventListener("items", (event) => {
      if (fresh) begin?.();
      fresh = false;
      items(JSON.parse(event.data));
    });
    opened.addEventListener("failure", (event) => {
      const { code, message } = JSON.parse(event.data);
      failed = true;
      failure?.(message, code);
    });
    opened.addEventListener("end", () => {
      stop();
      if (!failed) end?.();
    });
    opened.addEventListener("error", () => {
      if (opened.readyState === EventSource.CLOSED) failure?.("the page's server does not let this browser in any more: open its address again", 0);
      else notify("No connection to the page's server. It is tried again; if `finetune ui` has ended, start it anew.");
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  function look() {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, UNSEEN_MILLISECONDS);
    else if (!source) open();
  }

  function stop() {
    document.removeEventListener("visibilitychange", look);
    clearTimeout(timer);
    close();
  }

  document.addEventListener("visibilitychange", look);
  look();
  return stop;
}

export async function ask(path, method = "GET") {
  const response = await fetch(path, { method, headers: { Accept: "application/json" } });
  const text = await response.text();
  if (response.ok) return JSON.parse(text);
  let message = text;
  try {
    message = JSON.parse(text).message ?? text;
  } catch {
    // A refusal of the server itself is plain text.
  }
  throw new Error(message);
}

export function jobPath(namespace, name, part = "") {
  return `/api/jobs/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}${part}`;
}
