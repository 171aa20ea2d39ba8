import { readdirSync } from 'node:fs';
import { type Outcome, spawnRanks } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import type { EnduranceArgs, Holding } from './endurance.program.js';

interface Held {
  readonly early: Holding;
  readonly late: Holding;
}

const MIB = 1 << 20;

function run(runId: string, args: EnduranceArgs, workersPerNode = 2): Promise<Outcome<Held>> {
  const program = new URL('./endurance.program.ts', import.meta.url);
  const layout = { numNodes: 2, workersPerNode };
  // A small ring, so that many messages do not fit.
  return spawnRanks<Held>(layout, program, {
    args,
    runId,
    ringBytes: 1 << 14,
    timeoutMs: 30_000,
    deadlineMs: 280_000,
  });
}

/** What each rank returned; all must have ended well. */
function resultsOf({ ranks, agentErrors }: Outcome<Held>): Held[] {
  expect([...agentErrors, ...ranks.flatMap(({ error }) => error ?? [])]).toEqual([]);
  return ranks.map(({ result }) => result!);
}

function segmentsOf(runId: string): string[] {
  return readdirSync('/dev/shm').filter((name) => name.includes(runId));
}

/** By night 8,000 operations that lose a message each lose more than the heap comes and goes by. */
const OPERATIONS = NIGHTLY ? 10_000 : 2_500;

it(`does ${OPERATIONS} random operations without holding more and more`, async () => {
  const runId = `endurance-${process.pid}`;
  const results = resultsOf(
    await run(runId, { seed: 20_131, operations: OPERATIONS, settled: OPERATIONS / 5 }),
  );
  expect(results).toHaveLength(4);
  for (const { early, late } of results) {
    // What a process opened to start with may be closed later.
    expect(late.workerFiles).toBeLessThanOrEqual(early.workerFiles);
    expect(late.agentFiles).toBeLessThanOrEqual(early.agentFiles);
    // By day the heap has hardly settled; 2,000 operations that lose a message each lose 8 MiB.
    expect(late.workerBytes - early.workerBytes).toBeLessThan((NIGHTLY ? 1 : 4) * MIB);
    // So few operations do not show it by day: what the heap keeps for later comes and goes by more than they could lose.
    if (!NIGHTLY) continue;
    expect(late.workerResidentBytes - early.workerResidentBytes).toBeLessThan(32 * MIB);
    expect(late.agentResidentBytes - early.agentResidentBytes).toBeLessThan(32 * MIB);
  }
  expect(segmentsOf(runId)).toEqual([]);
});

it('keeps two runs at once on one machine apart', async () => {
  const runIds = ['one', 'two'].map((name) => `endurance-${name}-${process.pid}`);
  // The same length, other data: what came from the other run would be wrong here.
  const outcomes = await Promise.all(
    runIds.map((runId, i) => run(runId, { seed: i + 1, operations: 300, settled: 100 }, 1)),
  );
  for (const outcome of outcomes) expect(resultsOf(outcome)).toHaveLength(2);
  expect(runIds.flatMap(segmentsOf)).toEqual([]);
});
