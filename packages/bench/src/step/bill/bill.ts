import { pathToFileURL } from 'node:url';
import { programBeside } from '@locmoe/test-kit';
import { WORKER_ENV, WORKER_NODE_OPTIONS } from 'locmoe/internal/agent/worker-env';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { formatTable } from 'locmoe/internal/format';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { machine, makeBenchFolders, writeFigures } from '../../folders.js';
import { runRanks } from '../../run-ranks.js';
import { mean, sum } from '../../statistics.js';
import type { BenchStepOptions } from '../bench.js';
import { datasetOf } from '../turns.js';
import { lengthSettings } from '../verify.js';
import type { BillArgs, Limits, RankBill } from './bill.program.js';
import type { BillRow } from './recorder.js';

const WARM_UPS = 10;

/** A line of a bill: an operation, or the time that a rank spends outside operations. */
export interface BillLine extends BillRow {
  /** The minimum time that its products or its bytes need on this machine; null if there is no such limit. */
  readonly limitMs: number | null;
}

export interface Bill {
  readonly name: string;
  readonly stepMs: number;
  /** Means over ranks, which add up to the step; the longest first. */
  readonly lines: readonly BillLine[];
  /** Garbage collection, which is contained in the lines. */
  readonly gcMs: number;
  readonly limits: Limits;
  readonly ranks: readonly RankBill[];
}

/**
 * `locmoe bench step --bill`: trains each recipe, times every operation within its training steps, and writes
 * `bill.json`.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_CONFIG` before anything runs; the failure of a rank; `INTERRUPTED`
 */
export async function billStep(
  options: Omit<BenchStepOptions, 'peer' | 'turns' | 'verifySteps'>,
): Promise<number> {
  const { configs, set, steps, dataDir, out } = options;
  const sets = [...set, ...lengthSettings(WARM_UPS + steps)];
  const named = configs.map((name) => ({ name, config: loadConfig(name, { sets }) }));
  for (const { name, config } of named)
    if (config.train.device !== 'cpu')
      throw new TrainerError(
        'BAD_CONFIG',
        `${name}: a bill takes train.device cpu, and it is ${config.train.device}: a device computes while the host goes on, so that no operation has a time of its own`,
      );
  makeBenchFolders(options);
  const bills = await interruptible('ended; there is no bill', async (signal) => {
    const made: Bill[] = [];
    for (const { name, config } of named) {
      const { cluster } = config;
      console.log(`${name}: ${steps} steps after ${WARM_UPS} to warm up`);
      const dataset = await datasetOf(config, dataDir);
      dataset.close();
      const args: BillArgs = { config, datasetDir: dataset.dir, warmUps: WARM_UPS, steps };
      const program = pathToFileURL(programBeside(import.meta.url, 'bill.program'));
      const ranks = await runRanks<RankBill>(
        { numNodes: cluster.nodes, workersPerNode: cluster.workersPerNode },
        program,
        {
          args,
          interNodeLink: cluster.interNodeLink,
          env: { ...WORKER_ENV, NODE_OPTIONS: WORKER_NODE_OPTIONS.join(' ') },
          signal,
        },
      );
      made.push(billOf(name, ranks));
      console.log(`\n${described(made.at(-1)!)}`);
    }
    return made;
  });
  writeFigures(out, 'bill.json', { machine: machine(), steps, bills });
  return EXIT.done;
}

/** Adds the time that the ranks spent outside operations, and averages over the ranks. */
export function billOf(name: string, ranks: readonly RankBill[]): Bill {
  const meanOf = (of: (rank: RankBill) => number) => mean(ranks.map(of));
  const limits = {
    flopPerS: meanOf((rank) => rank.limits.flopPerS),
    bytesPerS: meanOf((rank) => rank.limits.bytesPerS),
  };
  const operations = [...new Set(ranks.flatMap(({ rows }) => rows.map(({ operation }) => operation)))];
  const lines = operations.map((operation): BillLine => {
    const meanOfRow = (key: 'calls' | 'ms' | 'flops' | 'bytes') =>
      meanOf(({ rows }) => rows.find((row) => row.operation === operation)?.[key] ?? 0);
    const [flops, bytes] = [meanOfRow('flops'), meanOfRow('bytes')];
    const limitMs = 1000 * Math.max(flops / limits.flopPerS, bytes / limits.bytesPerS);
    return {
      operation,
      calls: meanOfRow('calls'),
      ms: meanOfRow('ms'),
      flops,
      bytes,
      limitMs: limitMs || null,
    };
  });
  const beside = (operation: string, ms: number): BillLine => ({
    operation,
    calls: 0,
    ms,
    flops: 0,
    bytes: 0,
    limitMs: null,
  });
  const partOf = (part: string) => meanOf(({ partsMs }) => partsMs[part]!);
  lines.push(
    beside('exchanges of the sparse layers', partOf('exchange')),
    beside('all-reduce', partOf('allReduce')),
    beside('waiting for other ranks', partOf('waiting')),
    beside('optimizer', partOf('optimizer')),
  );
  const stepMs = meanOf((rank) => rank.stepMs);
  lines.push(beside('beside all: the tape, bookkeeping, the norm', stepMs - sum(lines.map(({ ms }) => ms))));
  return {
    name,
    stepMs,
    lines: lines.filter(({ ms }) => ms !== 0).sort((a, b) => b.ms - a.ms),
    gcMs: meanOf((rank) => rank.gcMs),
    limits,
    ranks,
  };
}

function described({ name, stepMs, lines, gcMs, limits, ranks }: Bill): string {
  const rate = (each: number, ms: number) =>
    each === 0 ? '' : (each / ms / 1e6).toFixed(each / ms < 1e7 ? 1 : 0);
  const table = formatTable([
    [name, 'calls', 'ms', '%', 'GFLOP/s', 'GB/s', 'limit', 'lost'],
    ...lines.map(({ operation, calls, ms, flops, bytes, limitMs }) => [
      operation,
      calls === 0 ? '' : calls.toFixed(calls % 1 === 0 ? 0 : 1),
      ms.toFixed(2),
      ((100 * ms) / stepMs).toFixed(1),
      rate(flops, ms),
      rate(bytes, ms),
      limitMs === null ? '' : limitMs.toFixed(2),
      limitMs === null ? '' : (ms - limitMs).toFixed(2),
    ]),
    ['a step', '', stepMs.toFixed(2), '100.0', '', '', '', ''],
  ]);
  return (
    `${table}\nmeans over ${ranks.length} ranks; garbage collection takes ${gcMs.toFixed(2)} ms of it. ` +
    `A rank reaches ${(limits.flopPerS / 1e9).toFixed(0)} GFLOP/s in products and ` +
    `${(limits.bytesPerS / 1e9).toFixed(1)} GB/s of memory while the others do the same; in the caches it is more`
  );
}
