// What the search of the list takes: words of a job's namespace, name or why, and bounds of its figures. All of them must hold.

const FIGURES = { progress: (job) => job.percent ?? 0, gpu: (job) => job.gpuSeconds / 3600 };
const BOUND = /^(progress|gpu)([<>]=?)([\d.]*)(?:%|h)?$/;
const HOLDS = { "<": (one, other) => one < other, "<=": (one, other) => one <= other, ">": (one, other) => one > other, ">=": (one, other) => one >= other };

export const EXAMPLE = "gpu>10 progress<50";

export function matcher(text) {
  // Blanks around the sign belong to the bound.
  const words = text.toLowerCase().replace(/\b(progress|gpu)\s*([<>]=?)\s*(?=[\d.]|$)/g, "$1$2").split(/\s+/);
  const holds = words.filter(Boolean).map(testOf);
  return (job) => holds.every((each) => each(job));
}

function testOf(word) {
  const [, figure, sign, given] = BOUND.exec(word) ?? [];
  // Somebody is typing a bound: it leaves out nothing yet.
  if (given === "" || given === ".") return () => true;
  const bound = Number(given);
  if (!figure || Number.isNaN(bound)) return (job) => `${job.namespace}/${job.name} ${job.why}`.toLowerCase().includes(word);
  return (job) => HOLDS[sign](FIGURES[figure](job), bound);
}
