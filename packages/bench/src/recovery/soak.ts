import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type MetricsRecordOf, RunFolder, readJournal, readRecords } from '@locmoe/run-format';
import { evidenceOf } from 'locmoe/internal/chaos/evidence-of-run';
import { injectFaults } from 'locmoe/internal/chaos/inject-faults';
import { stepsOf } from 'locmoe/internal/chaos/invariants/evidence';
import { checkInvariants } from 'locmoe/internal/chaos/invariants/invariants';
import { LiveRun } from 'locmoe/internal/chaos/live-run';
import { formatCount } from 'locmoe/internal/format';
import { securityOfRun } from 'locmoe/internal/run/run-token';
import { median } from '../statistics.js';
import type { Part } from './part.js';
import { type TrainingArguments, TrainingProcess } from './training-process.js';

/** All faults that a run of `locmoe train` can survive. */
const FAULTS = [
  'worker-kill',
  'agent-kill',
  'stop',
  'partition',
  'slow-link',
  'disk-full',
  'corrupt-checkpoint',
  'nan',
];

/** Small enough for the run without faults to take a fraction of the time; nothing is dropped. */
const RECIPE = `
name: soak
seed: 7
model: { dModel: 32, numHeads: 2, numDenseLayers: 1, numSparseLayers: 2, dFeedForward: 64, vocabSize: 512, seqLen: 32 }
moe: { numExperts: 4, router: switch, expertGroups: 2, capacityFactor: null }
data: { domains: [en, code], maxBytesPerDomain: 100000 }
train: { steps: 1000000, globalBatch: 8, learningRate: 0.01, warmupSteps: 5, validateEvery: 1000000, checkpointEvery: 20, keepCheckpoints: 3 }
cluster: { nodes: 2, workersPerNode: 2, maxRestarts: 1000000 }
`;
/** Makes the steps of a small model take some time, which the run without faults does not need. */
const slowLink = (latencyMs: number) => `cluster.interNodeLink={ gbps: 1, latencyMs: ${latencyMs} }`;

/** Time for the longest recovery and then the next checkpoint. */
const CALM_MS = 180_000;
const TWIN_MS = 3_600_000;

/** Compares a run under seeded faults with the same run without faults. */
export const soakPart: Part = async (context) => {
  const { quick, seed, signal, workDir, dataDir, log } = context;
  const [minutes, everyS, latencyMs] = quick ? [1, 8, 4] : [30, 20, 2];
  const config = path.join(workDir, 'soak.yaml');
  writeFileSync(config, RECIPE);
  const training = await TrainingProcess.start({
    config,
    sets: [slowLink(latencyMs)],
    folder: path.join(workDir, 'disturbed'),
    dataDir,
    more: ['--allow-faults'],
    signal,
  });
  const run = await LiveRun.open(training.folder, securityOfRun(training.folder));
  try {
    const injected = await injectFaults(run, {
      seed,
      faults: FAULTS,
      everyS,
      forS: 60 * minutes,
      signal,
      say: log,
    });
    const exitCode = await stopInCalm(training, run, signal);
    const { directory } = training.folder;
    const steps = stepsIn(directory);
    const twin = await twinOf(steps, {
      config,
      sets: [],
      folder: path.join(workDir, 'twin'),
      dataDir,
      signal,
    });
    const { violations } = checkInvariants(await evidenceOf(run, { twin, exitCode }));
    for (const violation of violations) log(`seed ${seed}: ${violation}`);
    return {
      soak: {
        minutes,
        faults: injected.length,
        violations,
        lossDifference: lossDifference(steps, stepsIn(twin)),
        effectiveShare: effectiveShare(steps),
      },
      notes: `Seed ${seed}: ${FAULTS.join(', ')}, every ${everyS} s on average, ${formatCount(steps.length)} steps of a small model on a link of ${latencyMs} ms between two nodes with two workers each.`,
    };
  } finally {
    await training.stop();
    run.close();
  }
};

type Step = MetricsRecordOf<'step'>;

function stepsIn(directory: string): Step[] {
  return stepsOf(readRecords(new RunFolder(directory).metrics));
}

/** Stops the run when no injected fault remains that could strike its last save. */
async function stopInCalm(
  training: TrainingProcess,
  run: LiveRun,
  signal: AbortSignal,
): Promise<number | null> {
  const fromMs = Date.now();
  await run.untilTraining(CALM_MS, signal, false);
  await training.until('a checkpoint', CALM_MS, () =>
    readJournal(training.folder.journal).find((entry) => entry.type === 'committed' && entry.time > fromMs),
  );
  return training.stop();
}

/** Returns the folder of the same run without faults, up to the last of `steps`; it skips the same steps. */
async function twinOf(steps: readonly Step[], training: TrainingArguments): Promise<string> {
  const skipped = steps.filter(({ loss }) => loss === null).map(({ step }) => `step.gradients:${step}:nan`);
  const twin = await TrainingProcess.start({ ...training, env: { LOCMOE_FAIL: skipped.join(',') } });
  try {
    const last = steps.at(-1)?.step ?? 0;
    await twin.until(`step ${last}`, TWIN_MS, () => twin.steps.find(({ step }) => step >= last));
  } finally {
    await twin.stop();
  }
  return twin.folder.directory;
}

function lossDifference(steps: readonly Step[], twin: readonly Step[]): number {
  const last = steps.findLast(({ loss }) => loss !== null);
  const other = twin.find(({ step }) => step === last?.step);
  return Math.abs((last?.loss ?? Number.NaN) - (other?.loss ?? Number.NaN));
}

/** Returns the time that the committed steps take without disturbance, divided by the elapsed time. */
function effectiveShare(steps: readonly Step[]): number {
  const [first, last] = [steps[0]!, steps.at(-1)!];
  const usualMs = median(steps.map(({ stepMs }) => stepMs));
  return (usualMs * steps.length) / (last.time - first.time + first.stepMs);
}
