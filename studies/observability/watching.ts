// Processor time that an open page and a live tail cost a run, as a share of that of its steps.

import { findRun, readRecords } from '@locmoe/run-format';
import { processTree } from 'locmoe/internal/os/process-info';
import { median } from '../../packages/bench/src/statistics.js';
import { endOf } from '../kit/locmoe.js';
import { OpenPage } from './open-page.js';
import {
  type Bench,
  cpuSecondsOfAll,
  httpOf,
  inFolder,
  type Measurement,
  type RunHttp,
  startTraining,
} from './support.js';

const PAIRS = 3;
/** Processor time is taken between these: before, a run warms up. */
const FIRST_STEP = 20;
const LAST_STEP = 120;
/** The page closes before the run ends, which takes a poll. */
const STEPS = 140;
const SAMPLE_MS = 250;

/** Processor time in s, of all processes of a run and of its coordinator's alone. */
interface CpuTime {
  readonly tree: number;
  readonly coordinator: number;
}

interface Sample extends CpuTime {
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
}

interface Pair {
  readonly watched: CpuTime;
  readonly alone: CpuTime;
}

/**
 * Runs in pairs, one with a client that asks what an open page asks and tails the log, one without. The order
 * alternates, so that drift of the machine affects both. Needs `npm run build`.
 *
 * @throws Error if a run fails, or if its client saw nothing
 */
export const benchWatching: Bench = async () => {
  const pages: OpenPage[] = [];
  const watch = async (http: RunHttp) => {
    const page = new OpenPage(http);
    pages.push(page);
    await page.until(LAST_STEP);
  };
  const pairs: Pair[] = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    const isWatchedFirst = pair % 2 === 0;
    const first = await cpuOfStep(isWatchedFirst ? watch : null);
    const second = await cpuOfStep(isWatchedFirst ? null : watch);
    pairs.push(isWatchedFirst ? { watched: first, alone: second } : { watched: second, alone: first });
  }
  const stepMs = 1e3 * median(pairs.map(({ alone }) => alone.tree));
  const [numReplies, numLines] = [pages.map((page) => page.numReplies), pages.map((page) => page.numLines)];
  return [
    figure(pairs, 'coordinator', 0.01, {
      name: 'watchingCost',
      meaning:
        "what an open page and a live tail cost the coordinator's process, over the processor time of a step",
      note: `${stepMs.toFixed(0)} ms a step; ${median(numReplies)} replies and ${median(numLines)} lines a run`,
    }),
    figure(pairs, 'tree', null, {
      name: 'watchingCostOfAllProcesses',
      meaning: 'the same of all processes of the run',
      note: 'with all else that differs between two runs',
    }),
  ];
};

function figure(
  pairs: readonly Pair[],
  part: keyof CpuTime,
  target: number | null,
  { name, meaning, note }: Pick<Measurement, 'name' | 'meaning' | 'note'>,
): Measurement {
  const shares = pairs.map(({ watched, alone }) => (watched[part] - alone[part]) / alone.tree);
  const spread = `${Math.min(...shares).toFixed(4)} to ${Math.max(...shares).toFixed(4)}, n=${shares.length}`;
  return {
    name,
    meaning,
    unit: '',
    value: median(shares),
    target,
    note: `${spread}; ${note}`,
  };
}

/** Processor time of a step of one run, with what watches it. */
function cpuOfStep(watch: ((http: RunHttp) => Promise<void>) | null): Promise<CpuTime> {
  return inFolder(async (folder) => {
    const sets = [`train.steps=${STEPS}`, `train.validateEvery=${STEPS}`, `train.checkpointEvery=${STEPS}`];
    const run = startTraining({ runsDir: folder, layout: [2, 2], sets, more: ['--linger', '0'] });
    const samples: Sample[] = [];
    const sampling = setInterval(() => samples.push(sampleOf(run.pid!)), SAMPLE_MS);
    try {
      await Promise.all([endOf(run, 'the training'), httpOf(run).then((http) => watch?.(http))]);
    } finally {
      clearInterval(sampling);
      run.kill('SIGTERM');
    }
    const times = new Map(
      readRecords(findRun(folder).folder.metrics).flatMap((record) =>
        record.type === 'step' ? [[record.step, record.time] as const] : [],
      ),
    );
    const cpuAtStep = (step: number) => cpuAt(samples, times.get(step) ?? Number.NaN);
    const [first, last] = [cpuAtStep(FIRST_STEP), cpuAtStep(LAST_STEP)];
    const ofStep = (part: keyof CpuTime) => (last[part] - first[part]) / (LAST_STEP - FIRST_STEP);
    return { tree: ofStep('tree'), coordinator: ofStep('coordinator') };
  });
}

function sampleOf(coordinator: number): Sample {
  const timeMs = Date.now();
  const tree = cpuSecondsOfAll(processTree([coordinator]));
  return { timeMs, tree, coordinator: cpuSecondsOfAll([coordinator]) };
}

/** Between two samples, in proportion. */
function cpuAt(samples: readonly Sample[], timeMs: number): CpuTime {
  const next = samples.findIndex((sample) => sample.timeMs >= timeMs);
  if (next < 1) throw new Error(`no processor time was taken around ${timeMs}`);
  const [before, after] = [samples[next - 1]!, samples[next]!];
  const share = (timeMs - before.timeMs) / (after.timeMs - before.timeMs);
  const at = (part: keyof CpuTime) => before[part] + share * (after[part] - before[part]);
  return { tree: at('tree'), coordinator: at('coordinator') };
}
