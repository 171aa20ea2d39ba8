import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { machine } from '@locmoe/bench/internal/folders';
import { cachesOf, recordingOf } from '@locmoe/bench/internal/gate/caches';
import { readFigures } from '@locmoe/bench/internal/gate/figures';
import { computeOnOneThread } from '@locmoe/bench/internal/one-thread';
import { goesOnFromHere, runTraining } from '@locmoe/bench/internal/training';
import { loadConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { CORPUS_DIR } from 'locmoe/internal/data/built-in/corpora';
import { type Dataset, openDataset } from 'locmoe/internal/data/dataset';
import { prepareDataset } from 'locmoe/internal/data/prepare/prepare';
import { formatDuration } from 'locmoe/internal/format';
import { elementTypeOf } from 'locmoe/internal/ops/kernels/choose-kernels';
import { count, SET, text, words } from '../kit/options.js';
import { STUDIES } from '../kit/read-yaml.js';
import { study } from '../kit/study.js';
import { processorHere } from '../step/history.js';
import { type Design, readDesign } from './design.js';
import { type Cell, cellsOf, type Job, jobsOf, recipeOf } from './jobs.js';
import { reportOf } from './report.js';
import type { Compared } from './results.js';
import { addRun, keyOf, type Run, readRuns } from './runs.js';
import { keepTables } from './tables.js';
import { testLoss } from './test-loss.js';

/** The folder of the design, relative to the folder of the studies, or absolute. */
const DESIGN = path.join(STUDIES, 'gates');

export default study({
  name: 'gates',
  description:
    'gates held against tables: perplexity and tokens per expert after trainings of one rank, step time in short ones on an emulated cluster; what is asked, of which arms and seeds, stands in arms.yaml, questions.yaml and contrasts.yaml',
  options: {
    only: words('what to make: questions, arms, screening or confirming, quality or time'),
    seeds: words('of the seeds of the stage, these alone', { takes: '<seeds>' }),
    atOnce: count('runs for quality at once; runs for time are alone', 1),
    set: SET,
    design: text('<folder>', 'arms.yaml, questions.yaml, contrasts.yaml and the recipe proof.yaml', DESIGN),
  },
  // Other settings require other runs, so the page would lose the kept ones.
  isPart: isOther,

  /** @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything runs, `INTERNAL` if a run failed */
  async measure({ options, workDir, out, dataDir, signal }): Promise<Compared> {
    computeOnOneThread();
    const design = readDesign(path.resolve(options.design));
    const cells = cellsOf(design, options.set);
    const kept = readRuns(out);
    const from = { machine: machine(), processor: processorHere().numbers, commit: commit() };
    const asked = jobsOf(cells, { only: options.only, seeds: options.seeds.map(Number) });
    const missing = asked.filter((job) => !kept.has(keyOf(job)));
    console.log(`${asked.length} runs, ${asked.length - missing.length} of them kept from before`);
    for (const { sets } of missing) loadConfig(recipeOf(design), { sets });
    await prepareTexts(design, missing, dataDir);
    let numDone = 0;
    const make = async (job: Job) => {
      signal.throwIfAborted();
      const run: Run = {
        ...(await madeRun(design, job, { workDir, dataDir }).catch(goesOnFromHere)),
        ...from,
      };
      addRun(out, run);
      console.log(`[${++numDone}/${missing.length}] ${oneLine(run)}`);
    };
    const isTimed = ({ kind }: Job) => kind === 'time';
    await inParallel(
      missing.filter((job) => !isTimed(job)),
      options.atOnce,
      make,
    );
    await inParallel(missing.filter(isTimed), 1, make);
    const compared = comparedOf(options, out);
    if (!isOther(options)) await keepTables(compared, { workDir, dataDir });
    return compared;
  },

  read(options, out) {
    const compared = comparedOf(options, out);
    const machines = new Set(compared.runs.map((run) => `${run.machine} (${run.precision})`));
    return {
      ...compared,
      machine: [...machines].join('; ') || 'no machine yet',
      command: 'npm run study -- gates',
    };
  },

  report: reportOf,
});

/** Tells whether other runs are asked for than those of the page. */
function isOther({ set, design }: { readonly design: string; readonly set: readonly string[] }): boolean {
  return set.length > 0 || design !== DESIGN;
}

function comparedOf(
  options: { readonly design: string; readonly set: readonly string[] },
  out: string,
): Compared {
  const design = readDesign(path.resolve(options.design));
  return { design, cells: cellsOf(design, options.set), runs: [...readRuns(out).values()] };
}

/**
 * Prepares the texts before the runs: otherwise preparation would count as their time, and parallel runs would collide.
 */
async function prepareTexts(design: Design, cells: readonly Cell[], dataDir: string): Promise<void> {
  const texts = cells.flatMap(({ config }) => [config, developmentOf(design, config)]);
  for (const each of new Map(
    texts.map((one) => [JSON.stringify([one.data, one.model.vocabSize]), one]),
  ).values())
    (await textOf(each, dataDir)).close();
}

function textOf({ data, model }: RunConfig, dataDir: string): Promise<Dataset> {
  const log = (line: string) => console.log(line);
  return prepareDataset({ ...data, vocabSize: model.vocabSize, dataDir, corpusDir: CORPUS_DIR, log });
}

/** Returns the configuration of the same text with the documents held out that screening validates on. */
function developmentOf(design: Design, config: RunConfig): RunConfig {
  const { validationShare } = loadConfig(recipeOf(design)).data;
  return { ...config, data: { ...config.data, validationShare } };
}

/**
 * Runs up to `atOnce` jobs at a time. After one has failed, no further job begins.
 *
 * @throws the error of the failed job, once the other jobs have ended
 */
async function inParallel<T>(
  jobs: readonly T[],
  atOnce: number,
  act: (job: T) => Promise<void>,
): Promise<void> {
  const left = [...jobs];
  const work = async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift())
      await act(job).catch((error: unknown) => {
        left.length = 0;
        throw error;
      });
  };
  const ended = await Promise.allSettled(Array.from({ length: atOnce }, work));
  for (const each of ended) if (each.status === 'rejected') throw each.reason;
}

async function madeRun(
  design: Design,
  { arm, kind, stage, settings, seed, sets, config }: Job,
  { workDir, dataDir }: { readonly workDir: string; readonly dataDir: string },
): Promise<Omit<Run, 'machine' | 'processor' | 'commit'>> {
  const started = performance.now();
  const hasCaches = kind === 'quality' && config.model.numSparseLayers > 0;
  const folder = path.join(workDir, 'runs', [arm.id, kind, stage, settings, seed].join('-'));
  const run = await runTraining({
    config: recipeOf(design),
    sets: [...sets, `seed=${seed}`, ...(hasCaches ? [recordingOf(config)] : [])],
    folder,
    dataDir,
  });
  const figures = readFigures(run.metrics);
  const caches = hasCaches ? { caches: await cachesOf(run) } : {};
  const isTested = kind === 'quality' && stage === 'confirming';
  let test: Run['test'] = null;
  if (isTested) {
    const dataset = openDataset(run.readRecord()!.datasetDir);
    const development = await textOf(developmentOf(design, config), dataDir);
    test = testLoss(run.checkpoints, { dataset, development, numSequences: design.testSequences });
    dataset.close();
    development.close();
  }
  rmSync(folder, { recursive: true });
  return {
    arm: arm.id,
    kind,
    stage,
    settings,
    seed,
    ...figures,
    ...caches,
    test,
    precision: elementTypeOf(config.train.precision),
    seconds: Math.round((performance.now() - started) / 1000),
  };
}

/** Returns the commit of the code that makes the runs, with "-dirty" if the code has uncommitted changes. */
function commit(): string {
  const git = (...args: readonly string[]) =>
    spawnSync('git', args, { cwd: path.dirname(STUDIES), encoding: 'utf8' });
  const { stdout } = git('rev-parse', '--short=12', 'HEAD');
  const isClean = git('diff', '--quiet', 'HEAD', '--', 'src', 'packages', 'studies').status === 0;
  return `${stdout?.trim() || 'unknown'}${isClean ? '' : '-dirty'}`;
}

function oneLine({ arm, kind, seed, stepMs, curve, test, seconds }: Run): string {
  const last = curve.at(-1);
  const shown = [
    ...(kind === 'time' ? [`step ${stepMs.toFixed(1)} ms`] : []),
    ...(kind === 'quality' && last !== undefined ? [`validation loss ${last.loss.toFixed(4)}`] : []),
    ...(test === null ? [] : [`test loss ${test.loss.toFixed(4)}`]),
  ];
  return `${arm}, seed ${seed}, ${kind}: ${shown.join(', ')} in ${formatDuration(seconds)}`;
}
