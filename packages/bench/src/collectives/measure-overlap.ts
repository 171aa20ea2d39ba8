import { pathToFileURL } from 'node:url';
import { type Layout, programBeside } from '@locmoe/test-kit';
import type { LinkSpeed } from 'locmoe/internal/agent/link-limit';
import { runRanks } from '../run-ranks.js';
import { median } from '../statistics.js';
import { type OverlapRow, spreadOf } from './measurements.js';
import type { OverlapArgs, OverlapTimes } from './overlap.program.js';

/** Two nodes, so that half of all rows cross the link. */
const LAYOUT: Layout = { numNodes: 2, workersPerNode: 2 };
const SIZE = { rowsPerPair: 256, width: 256, hidden: 1024 } as const;
const DEGREES = [2, 4] as const;
/** Exchanges per layer: dispatch and combine, each forward and backward. */
const TRIPS = 4;
const LATENCY_MS = 0.1;

export interface MeasureOverlapOptions {
  readonly repetitions: number;
  readonly signal: AbortSignal;
}

/**
 * Times one sparse layer with and without overlap. The link is limited so that the exchange between nodes
 * takes about as long as the experts.
 *
 * @throws TrainerError as `measureOurs`; an overlapped result that differs from the sequential one is a
 *   failure
 */
export async function measureOverlap({ repetitions, signal }: MeasureOverlapOptions): Promise<OverlapRow[]> {
  const measure = async (link: LinkSpeed | null, degrees: readonly number[]): Promise<OverlapTimes> => {
    const program = pathToFileURL(programBeside(import.meta.url, 'overlap.program'));
    const args: OverlapArgs = { ...SIZE, repetitions, degrees };
    const [first] = await runRanks<OverlapTimes>(LAYOUT, program, { args, interNodeLink: link, signal });
    return first;
  };
  const computeMs = median((await measure(null, [])).compute);
  const { workersPerNode } = LAYOUT;
  const bytesOneWay = workersPerNode * workersPerNode * SIZE.rowsPerPair * SIZE.width * 4;
  const gbps = Number(((TRIPS * bytesOneWay * 8) / computeMs / 1e6).toPrecision(3));
  const { compute, inTurn, overlapped } = await measure({ gbps, latencyMs: LATENCY_MS }, DEGREES);
  return [
    { what: 'experts alone', ms: spreadOf(compute), gbps },
    { what: 'one after the other', ms: spreadOf(inTurn), gbps },
    ...DEGREES.map((degree, i) => ({ what: `degree ${degree}`, ms: spreadOf(overlapped[i]!), gbps })),
  ];
}

/**
 * Returns the share of exchange time hidden behind computation, for the best degree: time saved by overlap
 * over time that the exchanges add to the experts alone. Null if not measured.
 */
export function hiddenShare(rows: readonly OverlapRow[]): number | null {
  if (rows.length === 0) return null;
  const [compute, inTurn, ...overlapped] = rows.map(({ ms }) => ms.median) as [number, number, ...number[]];
  return (inTurn - Math.min(...overlapped)) / (inTurn - compute);
}
