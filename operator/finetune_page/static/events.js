// What the server sends as it happens. The browser makes a broken connection again by itself.

export function follow(path, { items, failure, end }) {
  const source = new EventSource(path);
  source.addEventListener("items", (event) => items(JSON.parse(event.data)));
  source.addEventListener("failure", (event) => {
    const { code, message } = JSON.parse(event.data);
    failure?.(message, code);
  });
  source.addEventListener("end", () => {
    source.close();
    end?.();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) failure?.("the page's server is gone: start `finetune ui` again", 0);
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
