// What the server sends as it happens. The browser makes a broken connection again by itself, and is then sent everything anew.

import { notify } from "./dom.js";

// `begin` comes before the first items of each connection.
export function follow(path, { begin, items, failure, end }) {
  const source = new EventSource(path);
  let fresh = true;
  let failed = false;
  source.addEventListener("open", () => { fresh = true; });
  source.addEventListener("items", (event) => {
    if (fresh) begin?.();
    fresh = false;
    items(JSON.parse(event.data));
  });
  source.addEventListener("failure", (event) => {
    const { code, message } = JSON.parse(event.data);
    failed = true;
    failure?.(message, code);
  });
  source.addEventListener("end", () => {
    source.close();
    if (!failed) end?.();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) failure?.("the page's server does not let this browser in any more: open its address again", 0);
    else notify("No connection to the page's server. It is tried again; if `finetune ui` has ended, start it anew.");
  });
  return () => source.close();
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
