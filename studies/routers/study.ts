import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { type RunFolder, tokensPerStep } from '@locmoe/run-format';
import { type Checkpoint, resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { assertInheritable } from 'locmoe/internal/checkpoint/fits';
import { numberFrom, wholeNumber } from 'locmoe/internal/cli/commands/options';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { CORPUS_DIR } from 'locmoe/internal/data/built-in/corpora';
import { openDataset } from 'locmoe/internal/data/dataset';
import { prepareDataset } from 'locmoe/internal/data/prepare/prepare';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import { computeOnOneThread } from '../../packages/bench/src/one-thread.js';
import { readRunFigures } from '../../packages/bench/src/routers/run-figures.js';
import { runTraining } from '../../packages/bench/src/training.js';
import { count, maybe, SET, text, words } from '../kit/options.js';
import { digestOf, type Part, Parts, type Published } from '../kit/parts.js';
import { study } from '../kit/study.js';
import { percent } from '../kit/text.js';
import { evaluateByRule } from './by-rule.js';
import { type Calibration, calibrate, type InterNodeLink, linkOf } from './calibration.js';
import type { RunResult } from './comparison.js';
import { type CostRow, measureRouterCost } from './cost.js';
import { type Figures, figuresOf, type KeptRun } from './figures.js';
import {
  allCells,
  baselineJob,
  isProbed,
  type Job,
  jobId,
  narrowed,
  planJobs,
  qualityLayout,
  quickWords,
  type RecipeOptions,
  resolveJob,
  settingsOfJob,
} from './jobs.js';
import { probeRun } from './probe.js';
import { reportOf } from './report.js';
import { VARIANT_IDS } from './variants.js';

const CALIBRATION_STEPS = 50;
const QUICK_STEPS = 30;
/** Gb/s, close to what the search finds; the search takes longer than the quick runs themselves. */
const QUICK_GBPS = 0.2;

export default study({
  name: 'routers',
  description:
    'the routers and variants of them from the same starting weights on the same data: perplexity after long trainings, step time in short ones on an emulated cluster',
  quick: `recipe routers, one seed, ${QUICK_STEPS} steps for quality and time at once, 2x1 with placement domain, the routers without their variants`,
  options: {
    config: text('<file|recipe>', 'what to train', 'routers-large', 'routers'),
    set: SET,
    seeds: count('runs of each router', 3, { quick: 1 }),
    steps: maybe(wholeNumber(2), 'training steps of a run for quality; without it those of the recipe', {
      quick: QUICK_STEPS,
    }),
    timeSteps: count('training steps of a run for time', 60, { least: 2 }),
    only: words(
      'what to run: quality or time, cost (of the gates alone), routers, and for time layouts (2x1, 2x2, 4x1) and placements (domain, mixed)',
    ),
    inherit: text(
      '<checkpoint>',
      'run or step folder: the dense model that the model of every run for quality grows from; give each its own --work-dir and --out',
      '',
    ),
    link: maybe(
      numberFrom(0.001),
      "speed of the link between nodes; without it searched so that all-to-all takes the papers' share of a step",
      { takes: '<gbps>', quick: QUICK_GBPS },
    ),
  },

  /** @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything runs, `INTERNAL` if a run failed */
  async measure({ options, quick, workDir, out, dataDir }): Promise<Figures> {
    computeOnOneThread();
    const { config, set, seeds, inherit } = options;
    const recipe: RecipeOptions = {
      config,
      set,
      timeSteps: options.timeSteps,
      ...(options.steps !== null && { steps: options.steps }),
    };
    const warn = (line: string) => console.error(`study: ${line}`);
    const dense = inherit === '' ? null : resolveCheckpoint(inherit, warn);
    const base = loadConfig(config, { sets: set });
    const all = {
      kinds: quick ? (['quick'] as const) : (['quality', 'time'] as const),
      variants: VARIANT_IDS,
      cells: allCells(),
      seeds: Array.from({ length: seeds }, (_, i) => i + 1),
      qualityLayout: qualityLayout(base, availableParallelism()),
    };
    const isCostAsked = options.only.includes('cost');
    const named = options.only.filter((word) => word !== 'cost');
    const only = quick ? quickWords(named, ROUTER_NAMES) : named;
    const jobs = isCostAsked && named.length === 0 ? [] : planJobs(narrowed(all, only));
    for (const job of jobs) {
      const resolved = resolveJob(recipe, job, null);
      if (dense !== null && job.kind !== 'time') assertInheritable(dense, resolved.config);
    }
    await prepareText(base, dataDir);
    const folders = { workDir, dataDir };

    const costPart: Part = { name: 'router-cost', kind: 'measured', key: 'router-cost' };
    const { model, moe, data, cluster, train } = resolveJob(recipe, baselineJob('time'), null).config;
    const { globalBatch, precision } = train;
    const linkPart: Part = {
      name: 'calibration',
      kind: 'searched',
      key: { model, moe, data, cluster, globalBatch, precision },
    };
    const isLinkNeeded = options.link === null && jobs.some(({ kind }) => kind !== 'quality');
    const isCostNeeded = isCostAsked || options.only.length === 0;
    const setUp = new Parts(folders, [
      ...(isCostNeeded ? [costPart] : []),
      ...(isLinkNeeded ? [linkPart] : []),
    ]);
    const measureCost = async () => ({ rows: measureRouterCost() });
    const cost = isCostNeeded
      ? await setUp.do(costPart, measureCost)
      : setUp.find<{ rows: CostRow[] }>(costPart);
    const search = () =>
      calibrate(async (link) => {
        const length = [
          `train.steps=${CALIBRATION_STEPS}`,
          'train.warmupSteps=0',
          'train.validationSequences=1',
        ];
        const sets = [...settingsOfJob(recipe, baselineJob('time'), link), ...length];
        const run = await runTraining({
          config,
          sets,
          dataDir,
          folder: path.join(workDir, 'runs', 'calibration'),
        });
        const { allToAllShare } = readRunFigures(run.metrics);
        console.log(
          `  ${link === null ? 'no limit' : `${link.gbps} Gb/s`}: all-to-all takes ${percent(allToAllShare)} of a step`,
        );
        return allToAllShare;
      });
    const calibration: Calibration | null =
      options.link !== null
        ? { link: linkOf(options.link), share: null, trials: [] }
        : isLinkNeeded
          ? await setUp.do(linkPart, search)
          : setUp.find<Calibration>(linkPart);

    const link: InterNodeLink = calibration?.link ?? null;
    const partOf = (job: Job) => ({
      name: jobId(job),
      kind: `run for ${job.kind}`,
      key: keyOf(recipe, job, link, dense),
      config,
      sets: resolveJob(recipe, job, link).sets,
    });
    const asked = jobs.map((job) => ({ job, part: partOf(job) }));
    const parts = new Parts(
      folders,
      asked.map(({ part }) => part),
      published(out),
    );
    for (const { job, part } of asked) {
      const inherited = dense === null || job.kind === 'time' ? [] : ['--inherit', dense.folder];
      const result = await parts.train<RunResult>(part, (run) => resultOf(job, run), inherited);
      console.log(`  ${oneLine(result)}`);
    }

    const planned = planJobs(all);
    // Runs that were timed with a link have no key without it.
    const known = planned.filter(({ kind }) => kind === 'quality' || calibration !== null);
    const figures = figuresOf({
      recipe: config,
      numExperts: base.moe.numExperts,
      dense: dense && {
        runId: dense.manifest.runId,
        tokens: dense.manifest.step * tokensPerStep(dense.manifest.config),
      },
      calibration,
      cost: cost?.rows ?? [],
      planned: Object.fromEntries(
        all.kinds.map((kind) => [kind, planned.filter((job) => job.kind === kind).length]),
      ),
      runs: known.flatMap((job): KeptRun[] => {
        const part = partOf(job);
        const kept = parts.find<RunResult>(part);
        return kept === null ? [] : [{ ...kept, key: digestOf(part.key) }];
      }),
    });
    // The file in docs/results is a link to what the planner assumes of routers.
    const { locmoePlus } = figures;
    writeFileSync(path.join(out, 'plan-routers.json'), `${JSON.stringify({ locmoePlus }, null, 2)}\n`);
    return figures;
  },

  report: reportOf,
});

/** All that the figures of a run depend on. */
function keyOf(recipe: RecipeOptions, job: Job, link: InterNodeLink, dense: Checkpoint | null): unknown {
  const { config } = resolveJob(recipe, job, link);
  if (dense === null || job.kind === 'time') return config;
  const { runId, step } = dense.manifest;
  return { config, inheritedFrom: { runId, step } };
}

/** Prepares the text before the runs, which would count it as their time. */
async function prepareText({ data, model }: ReturnType<typeof loadConfig>, dataDir: string): Promise<void> {
  const dataset = await prepareDataset({
    ...data,
    dataDir,
    corpusDir: CORPUS_DIR,
    vocabSize: model.vocabSize,
    log: (line) => console.log(line),
  });
  dataset.close();
}

/** Runs for quality of an earlier page, perhaps of another machine: what is learned does not depend on it. */
function published(out: string): Published[] {
  const file = path.join(out, 'routers.json');
  if (!existsSync(file)) return [];
  const { runs = [] }: Partial<Figures> = JSON.parse(readFileSync(file, 'utf8'));
  return runs
    .filter(({ kind }) => kind === 'quality')
    .map(({ key, ...result }) => ({ name: jobId(result), key, value: result }));
}

function resultOf(job: Job, run: RunFolder): RunResult {
  const figures = readRunFigures(run.metrics);
  const learned = job.kind === 'time' ? { byRule: null, probe: null } : whatIsLearned(job, run);
  rmSync(run.checkpoints, { recursive: true, force: true });
  return { ...job, figures, ...learned };
}

function whatIsLearned(job: Job, run: RunFolder): Pick<RunResult, 'byRule' | 'probe'> {
  const dataset = openDataset(run.readRecord()!.datasetDir);
  try {
    return {
      byRule: evaluateByRule(run.checkpoints, dataset),
      probe: isProbed(job) ? probeRun(run.checkpoints, dataset) : null,
    };
  } finally {
    dataset.close();
  }
}

function oneLine({ kind, figures }: RunResult): string {
  const { stepMs, allToAllShare, localShare, tokensPerExpert, perplexity } = figures;
  return [
    `step ${stepMs.median.toFixed(0)} ms`,
    `all-to-all ${percent(allToAllShare)}`,
    `stayed on node ${percent(localShare)}`,
    `${tokensPerExpert.toFixed(0)} tokens per expert`,
    ...(kind === 'time' ? [] : [`perplexity ${perplexity.toFixed(1)}`]),
  ].join(', ');
}
