// What the search of the list takes: words of a job's namespace, name or why, and bounds of its figures. All of them must hold.

const FIGURES = { progress: (job) => job.percent ?? 0, gpu: (job) => job.gpuSeconds / 3600 };
const BOUND = /^(progress|gpu)([<>])([\d.]*)(?:%|h)?$/;

export const EXAMPLE = "gpu>10 progress<50";

export function matcher(text) {
  const holds = text.toLowerCase().split(/\s+/).filter(Boolean).map(testOf);
  return (job) => holds.every((each) => each(job));
}

function testOf(word) {
  const [, figure, sign, given] = BOUND.exec(word) ?? [];
  const bound = Number(given);
  if (!figure || Number.isNaN(bound)) return (job) => `${job.namespace}/${job.name} ${job.why}`.toLowerCase().includes(word);
  // Somebody is typing a bound: it leaves out nothing yet.
  if (!given) return () => true;
  return (job) => (sign === "<" ? FIGURES[figure](job) < bound : FIGURES[figure](job) > bound);
}
