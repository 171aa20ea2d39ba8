import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type MetricsRecordOf, readRecords } from '@locmoe/run-format';
import { asTrainerError } from 'locmoe/internal/errors';
import { mean, sum } from '../statistics.js';
import { runTraining, type TrainingOptions } from '../training.js';
import { countedSteps, type StepRun, summarize, withPeakMemory } from './step-run.js';

/** The built module, like the command that it is loaded into. */
const GC_PROBE = new URL('./gc-probe.js', import.meta.url).href.replace('/bench/src/', '/bench/dist/');

/**
 * Runs our trainer in child processes and reads its record. The run folder stays, without its checkpoint.
 *
 * @throws TrainerError `INTERNAL` if the run failed; `INTERRUPTED`, and the folder is removed
 */
export async function runOwn(
  options: Pick<TrainingOptions, 'config' | 'sets' | 'folder' | 'dataDir'>,
): Promise<StepRun> {
  const gcFolder = `${options.folder}-gc`;
  mkdirSync(gcFolder, { recursive: true });
  const nodeOptions = `${process.env.NODE_OPTIONS ?? ''} --import=${GC_PROBE}`.trim();
  try {
    const { value: run, peakBytes } = await withPeakMemory((onStart) =>
      runTraining({
        ...options,
        env: { NODE_OPTIONS: nodeOptions, LOCMOE_GC_DIR: gcFolder },
        onStart,
      }),
    );
    rmSync(run.checkpoints, { recursive: true, force: true });
    const steps = readRecords(run.metrics).filter((record) => record.type === 'step');
    return ownRun(steps, peakBytes, gcFolder);
  } catch (error) {
    if (asTrainerError(error).code === 'INTERRUPTED')
      rmSync(options.folder, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(gcFolder, { recursive: true, force: true });
  }
}

function ownRun(steps: readonly MetricsRecordOf<'step'>[], peakBytes: number, gcFolder: string): StepRun {
  const { from, to } = countedSteps(steps.length);
  const [begin, end] = [steps[from - 1]!.time, steps[to - 1]!.time];
  const kept = steps
    .slice(from, to)
    .flatMap(({ layers, tokens }) => layers.map((layer) => sum(layer.kept) / tokens));
  return summarize(
    steps.map(({ loss, time, partsMs }) => ({ loss: loss ?? Number.NaN, endedAtMs: time, partsMs })),
    steps[0]!.tokens,
    { peakBytes, gcMs: gcOf(gcFolder, begin, end) / (to - from), keptPerToken: mean(kept) },
  );
}

/** Returns the time of garbage collections that began in a wall-clock interval, mean over workers, in ms. */
function gcOf(folder: string, beginMs: number, endMs: number): number {
  const ofWorkers = readdirSync(folder).map((file) => {
    const collections: { atMs: number; ms: number }[] = JSON.parse(
      readFileSync(path.join(folder, file), 'utf8'),
    );
    return collections
      .filter(({ atMs }) => atMs >= beginMs && atMs < endMs)
      .reduce((sum, { ms }) => sum + ms, 0);
  });
  return mean(ofWorkers);
}
