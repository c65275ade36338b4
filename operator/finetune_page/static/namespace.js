// The namespace that a view is of: typed, or chosen from those that the user may list.

import { h, replace } from "./dom.js";
import { ask } from "./events.js";

export const ALL = "*";

export function namespaceField(value, changed) {
  const names = h("datalist", { id: "namespaces" });
  const input = h("input", { type: "text", value, size: 18, list: "namespaces", "aria-label": "Namespace, * for all", spellcheck: "false", autocapitalize: "off", onchange: () => changed(input.value.trim()) });
  ask("/api/namespaces").then((found) => replace(names, [ALL, ...found.namespaces].map((name) => h("option", { value: name }))), () => {});
  return h("label", {}, "namespace ", input, names);
}

// What the list and the usage of a namespace ask for.
export function jobsPath(namespace) {
  return `/api/jobs${namespace === ALL ? "" : `?namespace=${encodeURIComponent(namespace)}`}`;
}
