// What the server sends as it happens. A connection that breaks is made again by itself, for as long as the page is open.

import { alarm } from "./dom.js";
import { clock } from "./format.js";

// A browser has six connections to a server, for all its tabs together: a tab that nobody looks at gives its own back.
const UNSEEN_MILLISECONDS = 5000;
const PAUSES = [2, 5, 10, 30];
// What is over so soon is nobody's concern: proxies cut connections that are quiet or old.
const GRACE_MILLISECONDS = 5000;
const TOLD = -1;

// `begin` comes before the first items of each connection, `failure` with what the cluster says against it. What is not there (404) is not asked for
// again, unless it is `lasting`: a list is missing only where the cluster has no such kind, or for now.
export function follow(path, { begin, items, failure, end, lasting = false }) {
  let source = null;
  let timer = 0;
  let failures = 0;
  let since = "";
  let stopped = false;
  let grace = 0;
  let worst = "";

  function open() {
    clearTimeout(timer);
    close();
    const opened = new EventSource(path);
    source = opened;
    let fresh = true;
    let failed = false;
    opened.addEventListener("open", () => { fresh = true; });
    opened.addEventListener("items", (event) => {
      const told = JSON.parse(event.data);
      const lost = told.find((each) => each.lost);
      if (lost) trouble(lost.lost);
      else calm();
      if (fresh && !lost) begin?.();
      fresh = fresh && Boolean(lost);
      items(told.filter((each) => !each.lost));
    });
    opened.addEventListener("failure", (event) => {
      const { code, message } = JSON.parse(event.data);
      failed = true;
      failure?.(message, code);
      close();
      // What a person has to see to is told at once; an API server that does not answer may do so the next time.
      if (lasting || code !== 404) again(message, code === 503);
    });
    opened.addEventListener("end", () => {
      if (failed) return;
      stop();
      end?.();
    });
    opened.addEventListener("error", () => {
      if (opened.readyState === EventSource.CLOSED) {
        close();
        refused();
      } else trouble("The page's server does not answer. If `finetune ui` has ended, start it anew.");
    });
  }

  // Whatever stands between says why in an answer of its own, which an EventSource does not show.
  async function refused() {
    try {
      await ask("/api/me");
      again("The page's server ended the connection.");
    } catch (error) {
      again(error.message);
    }
  }

  // While it was asked why, the reader may have left, or come back to the tab, which made a connection.
  function again(message, mayPass = true) {
    if (stopped || source) return;
    const pause = PAUSES[Math.min(failures, PAUSES.length - 1)];
    failures += 1;
    trouble(message, mayPass);
    clearTimeout(timer);
    timer = setTimeout(() => { if (!document.hidden) open(); }, pause * 1000);
  }

  // It is told once it has lasted, or at once where there is nothing to see meanwhile.
  function trouble(message, mayPass = true) {
    worst = `${sentence(message)}${since ? ` What you see is of ${since}.` : ""} It is tried again by itself.`;
    if (mayPass && since && grace !== TOLD) grace ||= setTimeout(tell, GRACE_MILLISECONDS);
    else tell();
  }

  function tell() {
    clearTimeout(grace);
    grace = TOLD;
    alarm(path, worst, open);
  }

  function calm() {
    clearTimeout(grace);
    grace = 0;
    failures = 0;
    since = clock();
    alarm(path, "");
  }

  function close() {
    source?.close();
    source = null;
  }

  function leave() {
    close();
    clearTimeout(grace);
    if (grace !== TOLD) grace = 0;
  }

  function look() {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(leave, UNSEEN_MILLISECONDS);
    else if (!source) open();
  }

  function stop() {
    stopped = true;
    document.removeEventListener("visibilitychange", look);
    clearTimeout(timer);
    clearTimeout(grace);
    close();
    alarm(path, "");
  }

  document.addEventListener("visibilitychange", look);
  look();
  return stop;
}

export async function ask(path, method = "GET") {
  let response;
  try {
    response = await fetch(path, { method, headers: { Accept: "application/json" } });
  } catch {
    throw new Error("The page's server does not answer, or you are logged out: reload the page.");
  }
  const text = await response.text();
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    // A refusal of the server itself, or of a proxy before it, is no JSON.
    answer = { message: response.headers.get("Content-Type")?.startsWith("text/plain") ? text : `You are logged out, or this is not the page's server (${response.status}): reload the page.` };
    if (response.ok) throw new Error(answer.message);
  }
  if (!response.ok) throw new Error(answer.message ?? text);
  return answer;
}

// What the cluster says often ends without a full stop, and more is said after it.
export function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

export function jobPath(namespace, name, part = "") {
  return `/api/jobs/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}${part}`;
}
