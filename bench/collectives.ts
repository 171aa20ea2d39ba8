import { cpus } from 'node:os';
import { spawnRanks } from '../test/spawn-ranks.js';
import type { BenchArgs, BenchCase, BenchResult } from './collectives.program.js';

// Times the collectives between real processes on this machine: `npx tsx bench/collectives.ts [ms for each case]`.
// Every case is verified before it is timed. A repetition's time is that of rank 0.

const KIB = 1 << 10;
const layouts = [
  { numNodes: 1, workersPerNode: 4 },
  { numNodes: 2, workersPerNode: 2 },
];
const cases: readonly BenchCase[] = [
  { name: 'barrier', bytes: 0 },
  ...[1, 16, 256, 1024].flatMap((kib): BenchCase[] => [
    { name: 'all-to-all flat', bytes: kib * KIB },
    { name: 'all-to-all hierarchical', bytes: kib * KIB },
  ]),
  ...[1, 16, 64, 4096].map((kib): BenchCase => ({ name: 'all-reduce', bytes: kib * KIB })),
];

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

/** Bytes that all ranks together send to others in one repetition of an all-to-all. */
function wireBytes({ name, bytes }: BenchCase, worldSize: number): number {
  return name.startsWith('all-to-all') ? worldSize * (worldSize - 1) * bytes : 0;
}

const args: BenchArgs = { cases, caseMs: Number(process.argv[2] ?? 500) };
const rows: object[] = [];
for (const layout of layouts) {
  const program = new URL('./collectives.program.ts', import.meta.url);
  const { ranks } = await spawnRanks<BenchResult>(layout, program, { args, ringBytes: 1 << 19 });
  const failed = ranks.find(({ error }) => error);
  if (failed || !ranks[0].result) throw new Error(failed?.error?.line ?? 'no result');
  for (const [i, times] of ranks[0].result.entries()) {
    const sorted = [...times].sort((a, b) => a - b);
    const medianMs = quantile(sorted, 0.5);
    const bytes = wireBytes(cases[i], ranks.length);
    rows.push({
      layout: `${layout.numNodes}x${layout.workersPerNode}`,
      name: cases[i].name,
      kib: cases[i].bytes / KIB,
      repetitions: sorted.length,
      p10Us: Math.round(quantile(sorted, 0.1) * 1000),
      medianUs: Math.round(medianMs * 1000),
      p90Us: Math.round(quantile(sorted, 0.9) * 1000),
      gbPerS: bytes > 0 ? Number((bytes / medianMs / 1e6).toFixed(2)) : null,
    });
  }
}
console.table(rows);
console.log(JSON.stringify({ cpu: cpus()[0].model, cores: cpus().length, node: process.version, rows }));
