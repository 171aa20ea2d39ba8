import { setTimeout as sleep } from 'node:timers/promises';
import { type JournalEntry, readJournal } from '@locmoe/run-format';
import { evidenceOf } from 'locmoe/internal/chaos/evidence-of-run';
import { beginFault, drawsOf } from 'locmoe/internal/chaos/inject-faults';
import { checkInvariants } from 'locmoe/internal/chaos/invariants/invariants';
import { LiveRun } from 'locmoe/internal/chaos/live-run';
import { TrainerError } from 'locmoe/internal/errors';
import { isRunning } from 'locmoe/internal/os/process-info';
import { securityOfRun } from 'locmoe/internal/run/run-token';
import type { Outage, Part, PartContext } from './part.js';
import { ROWS, type Row } from './rows.js';
import { type SeenStep, TrainingProcess } from './training-process.js';

const CONFIG = 'tiny';
const LAYOUT = { nodes: 2, workersPerNode: 2, sets: [] };
/** Steps between checkpoints; without a newer snapshot in memory, a restart loses up to this many. */
const CHECKPOINT_EVERY = 20;
const SETS = [
  'train.steps=1000000',
  'train.validateEvery=1000000',
  `train.checkpointEvery=${CHECKPOINT_EVERY}`,
  'train.keepCheckpoints=3',
  'cluster.maxRestarts=1000000',
];
/** Maximum duration of an outage. */
const OUTAGE_MS = 120_000;
/** Maximum time until a run trains again. */
const TRAINING_MS = 180_000;
/**
 * Maximum number of new steps between an outage and the next fault, so that faults strike anywhere between
 * two checkpoints.
 */
const PAUSE_STEPS = CHECKPOINT_EVERY;
/** Maximum additional pause, so that faults strike anywhere in a step. */
const PAUSE_MS = 300;
const RETRY_MS = 1_000;

/** Injects a fault many times into one continuing run, and measures each outage. */
function rowPart(name: string, row: Row): () => Promise<Part> {
  return async () => async (context) => {
    const { nodes, workersPerNode, sets } = row.layout ?? LAYOUT;
    const layout = [`cluster.nodes=${nodes}`, `cluster.workersPerNode=${workersPerNode}`];
    const settings = {
      config: CONFIG,
      sets: [...SETS, ...layout, ...sets],
      folder: context.workDir,
      dataDir: context.dataDir,
      more: ['--allow-faults'],
      signal: context.signal,
    };
    const training =
      row.outcome === 'takeover' || row.outcome === 'fewer'
        ? await TrainingProcess.startSupervised(settings, nodes)
        : await TrainingProcess.start(settings);
    try {
      return await measure(name, row, training, context);
    } finally {
      await training.stop();
    }
  };
}

async function measure(name: string, row: Row, training: TrainingProcess, context: PartContext) {
  const run = await LiveRun.open(training.folder, securityOfRun(training.folder));
  const numRuns = context.runs ?? (context.quick ? 2 : (row.runs ?? 20));
  const outages: Outage[] = [];
  try {
    for (let index = 0; index < numRuns; index++) {
      const outage = await disturb({ name, row, training, run, index, context });
      outages.push(outage);
      context.log(`${index + 1}/${numRuns}: ${JSON.stringify(outage)}`);
    }
    const exitCode = await training.stop();
    const { violations } = checkInvariants(await evidenceOf(run, { twin: null, exitCode }));
    for (const violation of violations) context.log(violation);
    const { nodes, workersPerNode } = row.layout ?? LAYOUT;
    return {
      fault: { outages, violations },
      notes: `${row.what}, ${numRuns} times in one run of the recipe \`${CONFIG}\`, ${nodes} x ${workersPerNode}, a checkpoint every ${CHECKPOINT_EVERY} steps.`,
    };
  } finally {
    run.close();
  }
}

interface Disturbance {
  readonly name: string;
  readonly row: Row;
  readonly training: TrainingProcess;
  readonly run: LiveRun;
  readonly index: number;
  readonly context: PartContext;
}

async function disturb(disturbance: Disturbance): Promise<Outage> {
  const { name, row, training, run, index, context } = disturbance;
  const { seed, signal, log } = context;
  const draw = drawsOf(seed, index);
  const numBefore = training.steps.length;
  await training.until('more steps', OUTAGE_MS, () =>
    training.steps.length - numBefore >= draw('steps') * PAUSE_STEPS ? true : undefined,
  );
  await sleep(draw('pause') * PAUSE_MS, undefined, { signal });
  const found = await run.untilTraining(TRAINING_MS, signal, row.outcome === 'takeover');
  if (found === null) throw new TrainerError('INTERRUPTED', 'ended during a run');
  await training.look();
  const planned = row.plan({ run, processes: found.processes, draw });
  // A string names what the run does not have yet, such as a second checkpoint.
  const begun =
    typeof planned === 'string'
      ? null
      : await beginFault(run, planned, { fault: name, seed, index, signal, say: log });
  if (begun === null) {
    await sleep(RETRY_MS, undefined, { signal });
    return disturb(disturbance);
  }
  // A long fault is measured while it is still active.
  const { time, pid } = begun.record;
  const struckMs = row.endsVictimLater ? await endOf(pid ?? 0, training) : time;
  const outage = await outageOf(disturbance, time, struckMs);
  await begun.over;
  if (row.outcome === 'fewer') {
    const { nodes } = row.layout ?? LAYOUT;
    training.addNode();
    await training.until(`a step on ${nodes} nodes`, TRAINING_MS, () =>
      trainsOn(nodes, readJournal(training.folder.journal), training.steps) ? true : undefined,
    );
  }
  return outage;
}

/** Tells whether the newest generation has `numNodes` nodes and has done a step. */
export function trainsOn(
  numNodes: number,
  journal: readonly JournalEntry[],
  steps: readonly SeenStep[],
): boolean {
  const newest = journal.findLast((entry) => entry.type === 'generation');
  const begun = journal.findLast((entry) => entry.type === 'running');
  return (
    newest?.nodes === numNodes &&
    begun?.generation === newest.generation &&
    (steps.at(-1)?.time ?? 0) > begun.time
  );
}

/** Waits for the end of a process, and returns its wall-clock time in ms. */
function endOf(pid: number, training: TrainingProcess): Promise<number> {
  return training.until('an end of its worker', OUTAGE_MS, () => (isRunning(pid) ? undefined : Date.now()));
}

/** @param faultMs when the fault was injected @param struckMs when it took effect */
async function outageOf({ row, training }: Disturbance, faultMs: number, struckMs: number): Promise<Outage> {
  const find = <T>(what: string, look: () => T | undefined) => training.until(what, OUTAGE_MS, look);
  const since = <Type extends JournalEntry['type']>(type: Type, timeMs: number) =>
    readJournal(training.folder.journal).find(
      (entry): entry is Extract<JournalEntry, { type: Type }> => entry.type === type && entry.time >= timeMs,
    );
  const newStepAfter = (timeMs: number) => {
    const before = Math.max(
      0,
      ...training.steps.filter(({ time }) => time <= timeMs).map(({ step }) => step),
    );
    return training.steps.find(({ step, time }) => time > timeMs && step > before);
  };
  if (row.outcome === 'restart' || row.outcome === 'fewer') {
    const failure = await find('a failure', () => since('failure', faultMs));
    const account = await find('a recovery', () => since('recovered', failure.time));
    const step = await find('a new step', () => newStepAfter(failure.time));
    const { slowest, ranksS } = await find('a bill', () => since('bill', failure.time));
    return {
      detectedS: Math.max(0, failure.time - struckMs) / 1000,
      recoveredS: (step.time - struckMs) / 1000,
      lostSteps: account.lostSteps,
      spansS: ranksS[slowest]!,
    };
  }
  if (row.outcome === 'takeover') {
    const { time } = await find('another coordinator', () => since('lead', faultMs));
    const step = await find('a new step', () => newStepAfter(time));
    const account = since('recovered', faultMs);
    return {
      detectedS: null,
      recoveredS: (step.time - faultMs) / 1000,
      lostSteps: account?.lostSteps ?? numStepsAgain(training.steps, faultMs, step.time),
    };
  }
  const sign =
    row.outcome === 'saved'
      ? await find('a checkpoint', () => since('committed', faultMs))
      : await find('a new step', () => newStepAfter(faultMs));
  return { detectedS: null, recoveredS: (sign.time - faultMs) / 1000, lostSteps: 0 };
}

/** Counts the steps in a time span that had been done before that span. */
function numStepsAgain(steps: readonly SeenStep[], fromMs: number, toMs: number): number {
  const before = new Set(steps.filter(({ time }) => time <= fromMs).map(({ step }) => step));
  return steps.filter(({ step, time }) => time > fromMs && time <= toMs && before.has(step)).length;
}

/** The parts by name, in the order of measurement: the rows of the fault matrix, then the rest. */
export const PARTS: Readonly<Record<string, () => Promise<Part>>> = {
  ...Object.fromEntries(Object.entries(ROWS).map(([name, row]) => [name, rowPart(name, row)])),
  soak: async () => (await import('./soak.js')).soakPart,
  cost: async () => (await import('./cost.js')).costPart,
};
