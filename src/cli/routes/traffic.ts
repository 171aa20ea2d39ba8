import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { findRun, type MetricsRecordOf, type RunFolder, recordsFromEnd } from '@locmoe/run-format';
import {
  inspectRoutes,
  parseRoutesFileName,
  type RouteRow,
  readRoutes,
} from '@locmoe/run-format/routes-file';
import { byNode, type LinkBytes, type SentRows } from '@locmoe/run-format/row-traffic';
import { z } from 'zod';
import { TrainerError } from '../../errors.js';
import {
  type LayerTraffic,
  type Links,
  measuredTraffic,
  predictedTraffic,
} from '../../evaluation/route-traffic.js';
import { formatCount, formatNumberOf, formatTable } from '../../format.js';

export interface TrafficOptions {
  readonly run: string;
  readonly runsDir: string;
  readonly from: number;
  readonly to?: number;
  readonly json?: true;
}

const trainedPart = z.object({
  train: z.object({ only: z.string().nullable(), freeze: z.array(z.string()) }),
});

/** Rows sent in all steps of a run, and in the steps whose routes are recorded. */
interface Traffic {
  readonly run: string;
  readonly steps: number;
  /** Number of steps with another layout than the last one, which are left out. */
  readonly otherLayout: number;
  readonly numNodes: number;
  readonly between: LinkBytes['between'];
  /** Mean bytes of a step by link. */
  readonly bytes: Links;
  readonly byNode: Links;
  /** Ratio of the greatest to the mean, averaged over the steps; null where nothing was recorded. */
  readonly imbalance: {
    readonly load: number | null;
    readonly time: number | null;
    readonly bytes: number | null;
  };
  readonly recorded: RecordedTraffic | null;
}

interface RecordedTraffic {
  readonly steps: readonly number[];
  /** Recorded steps for which a rank's file is missing, or was written by an earlier version. */
  readonly incomplete: readonly number[];
  /** Share of the sequences whose routes are recorded; below 1 nothing is compared. */
  readonly share: number;
  readonly numNodes: number;
  /** Sums over the steps. */
  readonly layers: readonly ComparedTraffic[];
}

interface ComparedTraffic extends LayerTraffic {
  readonly fromRoutes: Links | null;
  /** Absolute difference between both matrices, summed over links and steps. */
  readonly difference: number | null;
}

/** Prints the bytes of rows by link, beside those predicted from the recorded routes. */
export async function reportTraffic(options: TrafficOptions): Promise<void> {
  const { folder } = findRun(options.runsDir, options.run);
  const traffic = await trafficOf(folder, options);
  if (options.json) console.log(JSON.stringify(traffic));
  else print(traffic);
}

async function trafficOf(folder: RunFolder, options: TrafficOptions): Promise<Traffic> {
  const { from, to = Number.POSITIVE_INFINITY } = options;
  let last: LinkBytes | null = null;
  let steps = 0;
  let otherLayout = 0;
  let sums: number[][] = [];
  const means = { load: new Mean(), time: new Mean(), bytes: new Mean() };
  for (const record of stepsFromEnd(folder.metrics, from)) {
    if (record.step > to || record.links === undefined) continue;
    const { links } = record;
    last ??= links;
    if (links.bytes.length !== last.bytes.length || links.numNodes !== last.numNodes) {
      otherLayout++;
      continue;
    }
    steps++;
    sums = added(sums, links.bytes);
    means.load.add(record.loadImbalance);
    means.time.add(record.timeImbalance);
    means.bytes.add(record.bytesImbalance);
  }
  if (last === null)
    throw new TrainerError(
      'BAD_INPUT',
      `${folder.directory}: no step from ${from} to ${options.to ?? 'the last'} has bytes by link; those of sparse layers on more than one rank are recorded`,
    );
  const bytes = sums.map((row) => row.map((each) => each / steps));
  return {
    run: folder.runId,
    steps,
    otherLayout,
    numNodes: last.numNodes,
    between: last.between,
    bytes,
    byNode: last.between === 'nodes' ? bytes : byNode(bytes, last.numNodes),
    imbalance: { load: means.load.value, time: means.time.value, bytes: means.bytes.value },
    recorded: await recordedTraffic(folder, from, to),
  };
}

function* stepsFromEnd(file: string, from: number): Generator<MetricsRecordOf<'step'>> {
  for (const { record } of recordsFromEnd(file)) {
    if (record.type !== 'step') continue;
    if (record.step < from) return;
    yield record;
  }
}

/** Returns null if no step has recorded routes. */
async function recordedTraffic(folder: RunFolder, from: number, to: number): Promise<RecordedTraffic | null> {
  if (!existsSync(folder.routes)) return null;
  const filesOfStep = new Map<number, string[]>();
  for (const name of readdirSync(folder.routes).sort()) {
    const step = parseRoutesFileName(name)?.step ?? -1;
    if (step < from || step > to) continue;
    filesOfStep.set(step, [...(filesOfStep.get(step) ?? []), path.join(folder.routes, name)]);
  }
  const steps: number[] = [];
  const incomplete: number[] = [];
  let share = 1;
  let numNodes = 1;
  const layers = new Map<string, ComparedTraffic>();
  const train = folder.readConfig(trainedPart)?.train;
  const isFrozen = train !== undefined && (train.only !== null || train.freeze.length > 0);
  for (const [step, files] of filesOfStep) {
    const ofStep = await trafficOfStep(files, isFrozen);
    if (ofStep === null) {
      incomplete.push(step);
      continue;
    }
    steps.push(step);
    share = Math.min(share, ofStep.share);
    numNodes = ofStep.numNodes;
    for (const each of ofStep.layers) {
      const key = `${each.layer} ${each.direction}`;
      layers.set(key, together(layers.get(key), each));
    }
  }
  if (steps.length + incomplete.length === 0) return null;
  return { steps, incomplete, share, numNodes, layers: [...layers.values()] };
}

/**
 * Returns null if not all ranks recorded what they sent.
 *
 * @param isFrozen whether parts of the model are not trained: a layer without trained parameters at or below
 *   it sends no gradients
 */
async function trafficOfStep(
  files: readonly string[],
  isFrozen: boolean,
): Promise<Pick<RecordedTraffic, 'share' | 'numNodes' | 'layers'> | null> {
  const sentOfRank: SentRows[] = [];
  for (const file of files) {
    const { sent } = await inspectRoutes(file);
    if (sent !== null) sentOfRank.push(sent);
  }
  const [exchange] = sentOfRank;
  if (exchange === undefined || sentOfRank.length !== exchange.numNodes * exchange.workersPerNode)
    return null;
  const measured = measuredTraffic(sentOfRank);
  const { numNodes, share } = exchange;
  if (share < 1)
    return {
      share,
      numNodes,
      layers: measured.map((each) => ({ ...each, fromRoutes: null, difference: null })),
    };
  const rows: RouteRow[] = [];
  for (const file of files) for (const row of await readRoutes(file)) rows.push(row);
  const predicted = predictedTraffic(rows, exchange).filter(
    ({ layer, direction }) =>
      !(isFrozen && direction.endsWith(' gradient')) ||
      measured.some((each) => each.layer === layer && each.direction === direction),
  );
  const none = sentOfRank.map(() => sentOfRank.map(() => 0));
  const find = (list: readonly LayerTraffic[], { layer, direction }: LayerTraffic) =>
    list.find((each) => each.layer === layer && each.direction === direction)?.bytes ?? none;
  return {
    share,
    numNodes,
    layers: (predicted.length > measured.length ? predicted : measured).map((each) => {
      const [bytes, fromRoutes] = [find(measured, each), find(predicted, each)];
      const { layer, direction } = each;
      return { layer, direction, bytes, fromRoutes, difference: distance(bytes, fromRoutes) };
    }),
  };
}

function together(before: ComparedTraffic | undefined, each: ComparedTraffic): ComparedTraffic {
  if (before === undefined) return each;
  const isCompared = before.fromRoutes !== null && each.fromRoutes !== null;
  return {
    layer: each.layer,
    direction: each.direction,
    bytes: added(before.bytes, each.bytes),
    fromRoutes: isCompared ? added(before.fromRoutes, each.fromRoutes) : null,
    difference: isCompared ? before.difference! + each.difference! : null,
  };
}

/** Returns the sum of two matrices, as large as the larger one. */
function added(a: Links, b: Links): number[][] {
  const size = Math.max(a.length, b.length);
  return Array.from({ length: size }, (_, from) =>
    Array.from({ length: size }, (_, to) => (a[from]?.[to] ?? 0) + (b[from]?.[to] ?? 0)),
  );
}

function distance(a: Links, b: Links): number {
  return a.reduce(
    (sum, row, from) => row.reduce((total, each, to) => total + Math.abs(each - b[from]![to]!), sum),
    0,
  );
}

class Mean {
  #sum = 0;
  #count = 0;

  add(value: number | undefined): void {
    if (value === undefined) return;
    this.#sum += value;
    this.#count++;
  }

  get value(): number | null {
    return this.#count === 0 ? null : this.#sum / this.#count;
  }
}

function print({ run, steps, otherLayout, between, bytes, byNode, imbalance, recorded }: Traffic): void {
  const left = otherLayout === 0 ? '' : `; ${formatNumberOf(otherLayout, 'step')} of another layout left out`;
  console.log(`${run}: bytes of rows that are sent in a step, forward and backward, mean of ${steps}${left}`);
  if (between === 'ranks') console.log(matrix('rank', bytes));
  console.log(matrix('node', byNode));
  const ratio = (value: number | null) => value?.toFixed(2) ?? '-';
  console.log(
    `greatest over mean: load of experts ${ratio(imbalance.load)}, time of ranks ${ratio(imbalance.time)}, bytes of ranks ${ratio(imbalance.bytes)}`,
  );
  if (recorded === null)
    console.log(
      'no step has recorded routes; train with train.recordRoutes.every=50 train.recordRoutes.share=1',
    );
  else printRecorded(recorded);
}

function matrix(name: string, links: Links): string {
  return formatTable([
    ['from, to', ...links.map((_, to) => `${name} ${to}`)],
    ...links.map((row, from) => [`${name} ${from}`, ...row.map(formatCount)]),
  ]);
}

function printRecorded({ steps, incomplete, share, numNodes, layers }: RecordedTraffic): void {
  console.log(`\n${formatNumberOf(steps.length, 'step')} with recorded routes: bytes of all, by layer`);
  const isWhole = share === 1;
  const total = (links: Links) => links.flat().reduce((sum, each) => sum + each, 0);
  const within = (links: Links) =>
    byNode(links, numNodes).reduce((sum, toNode, node) => sum + toNode[node]!, 0);
  const rows = layers.map(({ layer, direction, bytes, fromRoutes, difference }) => [
    `layer ${layer} ${direction}`,
    formatCount(within(bytes)),
    formatCount(total(bytes) - within(bytes)),
    formatCount(total(bytes)),
    ...(fromRoutes === null ? [] : [formatCount(total(fromRoutes)), formatCount(difference!)]),
  ]);
  const head = ['', 'within nodes', 'between nodes', 'sent', ...(isWhole ? ['from routes', 'apart'] : [])];
  if (rows.length > 0) console.log(formatTable([head, ...rows]));
  if (!isWhole)
    console.log(
      `routes of a ${(100 * share).toFixed(0)} % sample of the sequences: there is nothing to compare`,
    );
  if (incomplete.length > 0)
    console.log(
      `not counted, as what some ranks sent is not recorded: ${formatNumberOf(incomplete.length, 'step')}`,
    );
}
