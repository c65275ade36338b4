// A job's row in the list. It is kept, and written to where something has changed.

import { h, replace, setText, svg } from "./dom.js";
import { age, duration, hours, SHAPES } from "./format.js";

export function makeRow(job, { withNamespace, choose }) {
  const place = `/jobs/${encodeURIComponent(job.namespace)}/${encodeURIComponent(job.name)}`;
  const whole = withNamespace ? `${job.namespace}/${job.name}` : job.name;
  const title = h("a", { href: place, title: whole.length > 40 ? whole : null }, whole);
  const pick = h("input", { type: "checkbox", "aria-label": `Compare ${job.name}`, onchange: () => choose(job.uid, pick.checked) });
  const [phase, bar, left, loss, best, why, gpu, old] = Array.from({ length: 8 }, () => h("span", {}));
  const meter = h("progress", { max: 100, "aria-label": "Progress" });
  bar.append(meter, left);
  const cell = (name, ...content) => h("div", { class: name, role: "cell" }, ...content);
  const element = h("div", { class: "row", role: "row" }, cell("pick", h("label", {}, pick)), cell("name", title), cell("phasecell", phase), cell("progress", bar), cell("loss", loss), cell("best", best), cell("why", why), cell("gpu", gpu), cell("age", old));
  let shown = null;
  let points = null;

  function update(now) {
    if (now === shown) return;
    shown = now;
    setClass(phase, `phase ${now.phase}`);
    setText(phase, `${SHAPES[now.phase]} ${now.deleting ? "Deleting" : now.phase}`);
    element.classList.toggle("urgent", now.urgent);
    meter.hidden = now.percent === null;
    setClass(meter, now.phase);
    meter.value = now.percent ?? 0;
    setText(left, now.percent === null ? "–" : ` ${now.percent} %${now.etaSeconds ? ` · ${duration(now.etaSeconds)}` : ""}`);
    setTitle(left, now.etaSeconds ? `about ${duration(now.etaSeconds)} left` : "");
    if (points !== now.loss.join()) {
      points = now.loss.join();
      drawSpark(loss, now.loss);
    }
    setText(best, now.best);
    setText(why, now.why);
    setTitle(why, now.why);
    setText(gpu, hours(now.gpuSeconds));
    // A card has no place for what is not there.
    for (const each of [left, loss, best, why]) (each === left ? bar : each).parentElement.classList.toggle("none", each.textContent === "–" && (each !== left || meter.hidden));
    tick();
  }

  function tick() {
    setText(old, age(shown.created));
    setTitle(old, shown.created);
  }
  return { element, update, tick };
}

// What is written again as it was, the browser styles anew all the same.
function setTitle(element, text) {
  if (element.title !== text) element.title = text;
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

// A line that is there takes another course.
function drawSpark(place, values, width = 84, height = 20) {
  if (!values.length) return replace(place, "–");
  if (!place.firstElementChild) replace(place, svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "spark", role: "img" }, svg("path", {})));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at) => 1 + (at * (width - 2)) / (values.length - 1);
  const y = (value) => 1 + (height - 2) * (high === low ? 0.5 : (high - value) / (high - low));
  const line = place.firstElementChild;
  line.setAttribute("aria-label", values.length === 1 ? `Loss ${values[0]}` : `Loss from ${values[0]} to ${values.at(-1)}`);
  // A single point is a stroke where the line will begin.
  line.firstElementChild.setAttribute("d", values.length === 1 ? `M1 ${y(values[0])}h4` : values.map((value, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join(""));
}
