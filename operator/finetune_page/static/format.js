// Numbers and times as a person reads them. Shapes and durations are those of the command line; a test compares them.

export const SHAPES = { Pending: "○", Queued: "○", Preparing: "◐", Running: "●", Suspended: "❙", Succeeded: "✓", Failed: "✕" };
const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const rest = Math.max(0, Math.floor(seconds));
  for (let at = 0; at < UNITS.length; at += 1) {
    const [unit, size] = UNITS[at];
    const count = Math.floor(rest / size);
    if (!count) continue;
    const smaller = UNITS[at + 1];
    const more = smaller ? Math.floor((rest % size) / smaller[1]) : 0;
    return count < 10 && more ? `${count}${unit}${more}${smaller[0]}` : `${count}${unit}`;
  }
  return "0s";
}

// Ages are told by the server's clock: that of the browser may be wrong.
let skew = 0;
export function setNow(time) {
  skew = Date.parse(time) - Date.now();
}

export function now() {
  return Date.now() + skew;
}

export function age(time) {
  return time ? duration((now() - Date.parse(time)) / 1000) : "–";
}

// As the operator counts it, in UTC.
export function thisMonth() {
  return new Date(now()).toISOString().slice(0, 7);
}

export function clock() {
  return new Date().toLocaleTimeString();
}

export function number(value) {
  if (value === null || value === undefined || value === "") return "–";
  const given = Number(value);
  if (!Number.isFinite(given)) return String(value);
  if (given !== 0 && Math.abs(given) < 1e-3) return String(Number(given.toPrecision(4)).toExponential());
  return Number.isInteger(given) && Math.abs(given) < 1e15 ? given.toLocaleString("en-US") : String(Number(given.toPrecision(4)));
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const powers = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = count > 0 ? Math.min(powers.length - 1, Math.floor(Math.log2(count) / 10)) : 0;
  return `${Number((count / 1024 ** power).toPrecision(3))} ${powers[power]}`;
}

export function hours(gpuSeconds) {
  return (gpuSeconds / 3600).toFixed(1);
}

export function metricName(name) {
  return name === "eval_loss" ? "evaluation loss" : name.replace(/^eval_/, "");
}
