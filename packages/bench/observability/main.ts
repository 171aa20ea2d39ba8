// Benches of observability and its cost: `npm run bench:observability`. Each module of this folder verifies
// what it measures first. Prints a table and one line of JSON; `--out DIR` also writes
// DIR/observability.json, `--only NAME` (repeatable) selects modules and keeps the other figures of that file.
// `--loki-scripts DIR` is for the module `loki`, which is skipped without it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from 'locmoe/internal/format';
import { countViolations } from './accessibility.js';
import { benchFailures } from './failures.js';
import { benchLokiScripts } from './loki-scripts.js';
import { measureLongRuns } from './long-run.js';
import { benchMillionLines } from './million-lines.js';
import { measurePage } from './page.js';
import { measureTraffic } from './page-traffic.js';
import { benchSpans } from './spans.js';
import { benchStepOverhead } from './step-overhead.js';
import type { Bench, Measurement } from './support.js';
import { benchVisible } from './visible.js';
import { benchWatching } from './watching.js';

const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    'loki-scripts': { type: 'string' },
  },
});
const BENCHES: Readonly<Record<string, Bench>> = {
  lines: benchMillionLines,
  visible: benchVisible,
  page: measurePage,
  'long-run': measureLongRuns,
  traffic: measureTraffic,
  a11y: countViolations,
  spans: benchSpans,
  overhead: benchStepOverhead,
  watching: benchWatching,
  failures: benchFailures,
  loki: () => benchLokiScripts(options['loki-scripts']),
};
const unknown = options.only.find((name) => !Object.hasOwn(BENCHES, name));
if (unknown !== undefined) {
  console.error(`--only ${unknown}: expected one of ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}
const measurements: Measurement[] = [];
for (const [name, bench] of Object.entries(BENCHES))
  if (options.only.length === 0 || options.only.includes(name)) measurements.push(...(await bench()));

const machine = `${cpus().length} x ${cpus()[0]!.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
console.log(`${machine}\n`);
console.log(
  formatTable(
    [
      ['', 'value', 'target', 'unit', 'note'],
      ...measurements.map(({ meaning, value, target, unit, note }) => [
        meaning,
        typeof value === 'number' ? formatFigure(value) : formatCounts(value),
        target === null ? '-' : String(target),
        unit,
        note,
      ]),
    ],
    { textColumns: [3, 4] },
  ),
);
// Of all figures, whichever were measured now.
const out = options.out === undefined ? '' : ` --out ${options.out}`;
const command = `npm run bench:observability -- --loki-scripts DIR${out}`;
const file = options.out === undefined ? null : path.join(options.out, 'observability.json');
// Without scripts the figures of Loki stay.
const isPart = options.only.length > 0 || options['loki-scripts'] === undefined;
const before: object =
  isPart && file !== null && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
const figures = {
  ...Object.fromEntries(Object.entries(before).filter(([, value]) => typeof value !== 'string')),
  ...Object.fromEntries(
    measurements.map(({ name, value }) => [
      name,
      typeof value === 'number' ? Number(formatFigure(value)) : value,
    ]),
  ),
  machine,
  command,
};
console.log(`\n${JSON.stringify(figures)}`);
if (file !== null) {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(figures, null, 2)}\n`);
}
// Measured servers and clients may still hold connections.
process.exit();

/** Ratios near 1 need more digits than milliseconds. */
function formatFigure(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 4 : 1);
}

function formatCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
