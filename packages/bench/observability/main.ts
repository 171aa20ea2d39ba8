// Benches of observability and its cost: `npm run bench:observability`. Each module of this folder verifies
// what it measures first. Prints a table and one line of JSON; `--out DIR` also writes
// DIR/observability.json, `--only NAME` (repeatable) selects modules.
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from 'locmoe/format';
import { benchMillionLines } from './million-lines.js';
import { measurePage } from './page.js';
import { benchSpans } from './spans.js';
import { benchStepOverhead } from './step-overhead.js';
import type { Bench, Measurement } from './support.js';
import { benchVisible } from './visible.js';

const BENCHES: Readonly<Record<string, Bench>> = {
  lines: benchMillionLines,
  visible: benchVisible,
  page: measurePage,
  spans: benchSpans,
  overhead: benchStepOverhead,
};

const { values: options } = parseArgs({
  options: { out: { type: 'string' }, only: { type: 'string', multiple: true, default: [] } },
});
const unknown = options.only.find((name) => !Object.hasOwn(BENCHES, name));
if (unknown !== undefined) {
  console.error(`--only ${unknown}: expected one of ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}
const measurements: Measurement[] = [];
for (const [name, bench] of Object.entries(BENCHES))
  if (options.only.length === 0 || options.only.includes(name)) measurements.push(...(await bench()));

const machine = `${cpus().length} x ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
console.log(`${machine}\n`);
console.log(
  formatTable(
    [
      ['', 'value', 'target', 'unit', 'note'],
      ...measurements.map(({ meaning, value, target, unit, note }) => [
        meaning,
        formatFigure(value),
        target === null ? '-' : String(target),
        unit,
        note,
      ]),
    ],
    { textColumns: [3, 4] },
  ),
);
const command = `npm run bench:observability -- ${process.argv.slice(2).join(' ')}`.replace(/ -- $/, '');
const figures = {
  ...Object.fromEntries(measurements.map(({ name, value }) => [name, Number(formatFigure(value))])),
  machine,
  command,
};
console.log(`\n${JSON.stringify(figures)}`);
if (options.out !== undefined) {
  mkdirSync(options.out, { recursive: true });
  writeFileSync(path.join(options.out, 'observability.json'), `${JSON.stringify(figures, null, 2)}\n`);
}
// Measured servers and clients may still hold connections.
process.exit();

/** Ratios near 1 need more digits than milliseconds. */
function formatFigure(value: number): string {
  return value.toFixed(value < 10 ? 4 : 1);
}
