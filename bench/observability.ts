// What can be seen of a run, and what seeing it costs: `npm run bench:observability`. Each module under
// bench/observability/ verifies what it measures first. Prints one table and one line of JSON.
import { cpus } from 'node:os';
import { formatTable } from '../src/coordinator/format.js';
import { benchMillionLines } from './observability/million-lines.js';
import type { Bench, Measurement } from './observability/support.js';
import { benchVisible } from './observability/visible.js';

const BENCHES: readonly Bench[] = [benchMillionLines, benchVisible];

const measurements: Measurement[] = [];
for (const bench of BENCHES) measurements.push(...(await bench()));

console.log(`${cpus().length} x ${cpus()[0].model}, Node ${process.versions.node}\n`);
console.log(
  formatTable(
    [
      ['', 'value', 'target', 'unit', 'note'],
      ...measurements.map(({ meaning, value, target, unit, note }) => [
        meaning,
        value.toFixed(1),
        target === null ? '-' : String(target),
        unit,
        note,
      ]),
    ],
    { textColumns: [3, 4] },
  ),
);
console.log(`\n${JSON.stringify(Object.fromEntries(measurements.map(({ name, value }) => [name, value])))}`);
// Whoever was measured may still hold connections.
process.exit();
