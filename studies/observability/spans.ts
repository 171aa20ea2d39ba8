import { encodeChunk, findRun, readTrace, tracedSteps } from '@locmoe/run-format';
import { FlightRing } from 'locmoe/internal/collectives/flight-ring';
import { FlightSpans } from 'locmoe/internal/collectives/flight-spans';
import { FLIGHT_SLOTS, FLIGHT_WORDS } from 'locmoe/internal/collectives/shm-layout';
import { median } from '../../packages/bench/src/statistics.js';
import { endOf } from '../kit/locmoe.js';
import { assertEqual, type Bench, inFolder, startTraining } from './support.js';

const STEPS = 40;
const WARM_UP_STEPS = 10;
const ROUNDS = 50;

const OPERATION = { kind: 'all-to-all', purpose: 'dispatch', layer: 3, countsHash: 1 } as const;
const SIZES = { step: 1, numSends: 3, numReceives: 3, bytesOut: 1e6, bytesIn: 1e6 };

/** Cost of recording the spans of a step, to a rank and to the agent of its node, as a share of a step of `tiny` on 2 x 2. */
export const benchSpans: Bench = async () => {
  const ring = new FlightRing(new Int32Array(FLIGHT_WORDS), 0);
  const spans = new FlightSpans(ring, performance.timeOrigin);
  const partUs = usOf(FLIGHT_SLOTS, (i) => spans.next('experts', i & 7));
  assertEqual('spans in the ring', ring.read().length, FLIGHT_SLOTS);
  const operationUs = usOf(FLIGHT_SLOTS, (i) => {
    const startMs = performance.now();
    const ticket = ring.begin(OPERATION, { ...SIZES, sequence: i, startMs });
    ring.firstByte(ticket, startMs);
    ring.enter(ticket, startMs);
    ring.wait(ticket, 1, startMs, 2);
    ring.end(ticket, startMs);
  });
  const agentUs = usOf(1, () => encodeChunk(0, ring.names, ring.take(0, { all: true }).words)) / FLIGHT_SLOTS;
  const { parts, operations, stepMs } = await inFolder(spansOfStep);
  const percentOf = (us: number) => us / 10 / stepMs;
  const note = `${parts} parts of ${partUs.toFixed(2)} us, ${operations} operations of ${operationUs.toFixed(2)} us; ${stepMs.toFixed(0)} ms a step`;
  return {
    spansOfRankPercent: { value: percentOf(parts * partUs + operations * operationUs), note },
    spansOfAgentPercent: {
      value: percentOf((parts + operations) * agentUs),
      note: `${agentUs.toFixed(3)} us a span`,
    },
  };
};

/** Median time of one of `count` calls, in microseconds. */
function usOf(count: number, call: (i: number) => void): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const started = performance.now();
    for (let i = 0; i < count; i++) call(i);
    return (1e3 * (performance.now() - started)) / count;
  });
  return median(rounds.slice(ROUNDS / 5));
}

/** Spans of a rank in a step, and how long it takes. */
async function spansOfStep(runsDir: string): Promise<{ parts: number; operations: number; stepMs: number }> {
  const sets = [`train.steps=${STEPS}`, `train.validateEvery=${STEPS}`];
  await endOf(startTraining({ runsDir, layout: [2, 2], sets, more: ['--no-http'] }), 'the training');
  const { trace } = findRun(runsDir).folder;
  assertEqual('steps with traces', tracedSteps(trace), [
    { generation: 1, first: 1, last: STEPS, complete: STEPS },
  ]);
  // The last step has the validation.
  const { ranks } = readTrace(trace, { from: WARM_UP_STEPS, to: STEPS - 1 });
  const numSteps = STEPS - WARM_UP_STEPS;
  const all = ranks.flatMap(({ spans }) => spans);
  const parts = all.filter(({ kind }) => kind === 'part').length;
  return {
    parts: Math.round(parts / numSteps / ranks.length),
    operations: Math.round((all.length - parts) / numSteps / ranks.length),
    stepMs: median(
      all.flatMap(({ purpose, startMs, endMs }) =>
        purpose === 'step' && endMs !== null ? [endMs - startMs] : [],
      ),
    ),
  };
}
