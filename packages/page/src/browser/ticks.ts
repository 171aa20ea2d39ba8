/** Round intervals of time. */
export const STEPS_MS = [
  100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3, 7200e3,
  14400e3, 28800e3, 86400e3,
];

/** At most `maxTicks` ticks from `start` to `end`, at round distances from `zero`; all in ms. */
export function roundTicks(start: number, end: number, maxTicks: number, zero = 0): number[] {
  const step =
    STEPS_MS.find((each) => (end - start) / each <= maxTicks) ??
    Math.ceil((end - start) / maxTicks / 86400e3) * 86400e3;
  const first = zero + Math.ceil((start - zero) / step) * step;
  return Array.from(
    { length: Math.max(0, Math.floor((end - first) / step) + 1) },
    (_, tick) => first + tick * step,
  );
}
