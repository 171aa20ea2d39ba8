import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** The size of a synthetic run, and its special events. */
export interface SyntheticRun {
  readonly runId: string;
  readonly numRanks: number;
  readonly ranksPerNode: number;
  readonly numLayers: number;
  readonly numExperts: number;
  readonly stepMs: number;
  readonly startedAt: number;
  /** Step with a loss of 11. */
  readonly spikeStep?: number;
  /** Steps whose update was skipped: something was not finite. */
  readonly skippedSteps?: readonly number[];
  /** Size of an unused field in the record of each step, which makes a long file of few steps. */
  readonly paddingBytes?: number;
}

/** Two nodes of two ranks. */
export const SMALL_RUN: SyntheticRun = {
  runId: 'small',
  numRanks: 4,
  ranksPerNode: 2,
  numLayers: 2,
  numExperts: 8,
  stepMs: 300,
  startedAt: Date.parse('2026-01-02T03:04:05Z'),
};

/** More ranks, layers and experts than fit a screen. */
export const LARGE_RUN: SyntheticRun = {
  runId: 'large',
  numRanks: 64,
  ranksPerNode: 8,
  numLayers: 16,
  numExperts: 64,
  stepMs: 600,
  startedAt: Date.parse('2026-01-02T03:04:05Z'),
};

const HEARTBEAT_EVERY = 3;
const LOG_EVERY = 10;
const VALIDATE_EVERY = 100;
const DOMAINS = ['en', 'zh', 'code', 'telecom'];
/** The first step takes long, as it compiles. */
const FIRST_STEP_MS = 4_000;

/**
 * Writes the folder of a run with its first steps; returns its path.
 *
 * @param steps that the run has done
 * @param ofSteps that it is configured for; it is live while that is more
 */
export function writeSyntheticRun(
  runsDir: string,
  run: SyntheticRun,
  { steps, ofSteps = steps }: { readonly steps: number; readonly ofSteps?: number },
): string {
  const folder = path.join(runsDir, run.runId);
  mkdirSync(path.join(folder, 'logs'), { recursive: true });
  const isLive = ofSteps > steps;
  const record = { runId: run.runId, generation: 1, address: '127.0.0.1:1', pid: 1, process: 'none' };
  const rest = {
    state: isLive ? 'running' : 'finished',
    startedAt: new Date(run.startedAt).toISOString(),
    datasetDir: 'data',
    // Whether a process on another machine is alive cannot be checked, so the run counts as live.
    ...(isLive ? { machine: 'another' } : {}),
  };
  writeFileSync(path.join(folder, 'run.json'), JSON.stringify({ ...record, ...rest }));
  const train = { steps: ofSteps, maxTokens: null, globalBatch: 32 };
  const config = { name: run.runId, model: { seqLen: 64 }, train };
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
  for (let first = 1; first <= steps; first += 50) {
    const last = Math.min(steps, first + 49);
    appendSteps(folder, run, first, last);
  }
  return folder;
}

/** Appends the records and log lines of some steps, with the times at which they happen. */
export function appendSteps(folder: string, run: SyntheticRun, first: number, last: number): void {
  const records: object[] = [];
  const lines: object[] = [];
  for (let step = first; step <= last; step++) {
    const time = run.startedAt + FIRST_STEP_MS + run.stepMs * step;
    if (step === 1)
      records.push({ type: 'generation', time: run.startedAt, generation: 1, resumedFrom: null });
    records.push(stepRecord(run, step, time));
    if (step % HEARTBEAT_EVERY === 0) records.push(heartbeat(run, step, time));
    if (step % VALIDATE_EVERY === 0) records.push(validation(step, time));
    if (step % LOG_EVERY === 0) lines.push(...linesOf(run, step, time));
  }
  append(path.join(folder, 'metrics.ndjson'), records);
  append(path.join(folder, 'logs', 'node-0.ndjson'), lines);
}

function append(file: string, records: readonly object[]): void {
  appendFileSync(file, records.map((each) => `${JSON.stringify(each)}\n`).join(''));
}

/** Noise in [0, 1) that depends on the number alone. */
function noiseOf(number: number): number {
  return Math.abs(Math.sin(number * 12.9898) * 43758.5453) % 1;
}

function stepRecord(run: SyntheticRun, step: number, time: number): object {
  const { numRanks, ranksPerNode, numLayers, numExperts, stepMs, spikeStep, skippedSteps = [] } = run;
  const noise = noiseOf(step);
  const byExpert = (value: (expert: number) => number) =>
    Array.from({ length: numExperts }, (_, e) => value(e));
  const layer = (number: number) => ({
    layer: number,
    routed: byExpert((expert) => 400 + ((step * (expert + number)) % 100)),
    kept: byExpert((expert) => 60 + 8 * ((expert * 7 + number) % 13) + ((step * (expert + 3)) % 40)),
    overCapacity: byExpert((expert) => 150 + ((step + expert) % 30)),
    notChosen: byExpert((expert) => 200 + ((step * expert) % 50)),
    sameWorker: 120 + Math.round(60 * noise),
    sameNode: 150,
    otherNode: 280 - Math.round(60 * noise),
    bytes: { sameWorker: 129_024, sameNode: 165_888, otherNode: 276_480 },
    capacity: byExpert(() => 64 + (step % 9)),
    capacityRatio: 0.3 + 0.1 * noise,
    gateCosine: 0.1 + 0.1 * noise,
  });
  const waiting = 0.3 * stepMs * noise;
  const isSkipped = skippedSteps.includes(step);
  const finite = (value: number) => (isSkipped ? null : value);
  const ms = step === 1 ? FIRST_STEP_MS : 0.9 * stepMs + waiting;
  return {
    type: 'step',
    step,
    time,
    loss: finite(step === spikeStep ? 11 : 3 + 5 * Math.exp(-step / 2_000) + 0.2 * noise),
    auxiliaryLoss: finite(0.02 * noise),
    gradientNorm: finite(0.5 + noise + 3 * Math.exp(-step / 20)),
    learningRate: 0.003,
    tokens: 2_048,
    stepMs: ms,
    partsMs: {
      forward: 0.32 * (ms - waiting),
      backward: 0.5 * (ms - waiting),
      exchange: 0.06 * stepMs,
      allReduce: 0.01 * stepMs,
      optimizer: 0.1 * stepMs,
      waiting,
    },
    // Every second layer is sparse, as in many decoders.
    layers: isSkipped ? [] : Array.from({ length: numLayers }, (_, index) => layer(2 * index + 1)),
    bytesSameNode: 680_704,
    bytesOtherNode: 1_226_240,
    allToAllMs: 180 * noise,
    allToAllWaitMs: 140 * noise,
    timeImbalance: 1.05 + 0.1 * noise,
    bytesImbalance: 1.02 + 0.05 * noise,
    ...(run.paddingBytes && { padding: ' '.repeat(run.paddingBytes) }),
    ...(!isSkipped && {
      idShare: 0.6 + 0.1 * noise,
      gateShare: 0.8 - 0.1 * noise,
      margin: 0.3 + 0.1 * noise,
      gateEntropy: 0.5 + 0.1 * noise,
      routerZ: 2 + noise,
      loadImbalance: 1.3 + 0.2 * noise,
      loadP10: 0.7,
      loadP50: 0.95,
      loadP90: 1.25,
      links: linksOf(numRanks, ranksPerNode, noise),
    }),
  };
}

/** Ranks with close numbers send each other more bytes. */
function linksOf(numRanks: number, ranksPerNode: number, noise: number): object {
  const numNodes = numRanks / ranksPerNode;
  const between = numRanks <= 16 ? 'ranks' : 'nodes';
  const size = between === 'ranks' ? numRanks : numNodes;
  const send = (from: number, to: number) =>
    from === to && between === 'ranks'
      ? 0
      : Math.round((300_000 + 20_000 * noise) / (1 + Math.abs(from - to)));
  const bytes = Array.from({ length: size }, (_, from) =>
    Array.from({ length: size }, (_, to) => send(from, to)),
  );
  return { numNodes, between, bytes };
}

function heartbeat({ numRanks, ranksPerNode }: SyntheticRun, step: number, time: number): object {
  const ranks = Array.from({ length: numRanks }, (_, rank) => ({
    rank,
    node: Math.floor(rank / ranksPerNode),
    step,
    phase: 'forward',
    operation: '',
    processState: 'R',
    residentBytes: 4e8 + step * 1_000 + rank * 1e6,
  }));
  return { type: 'heartbeat', time, ranks };
}

function validation(step: number, time: number): object {
  const domains = DOMAINS.map((domain, index) => ({
    domain,
    loss: 3 + index / 10 + 5 * Math.exp(-step / 2_000),
    tokens: 1_024,
  }));
  return { type: 'validation', time, step, domains };
}

function linesOf({ runId, numRanks, ranksPerNode }: SyntheticRun, step: number, time: number): object[] {
  return Array.from({ length: numRanks }, (_, rank) => {
    const isLate = noiseOf(step * 64 + rank) > 0.99;
    return {
      level: isLate ? 'warn' : 'info',
      time: Math.round(time) + (rank % 7),
      run: runId,
      generation: 1,
      node: Math.floor(rank / ranksPerNode),
      rank,
      step,
      loss: 3 + noiseOf(step),
      msg: isLate ? 'waited long for its peers' : 'step',
    };
  });
}
