import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { type RunFolder, tokensPerStep } from '@locmoe/run-format';
import { type Checkpoint, resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { assertInheritable } from 'locmoe/internal/checkpoint/inherit';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { CORPUS_DIR } from 'locmoe/internal/data/corpora';
import { openDataset } from 'locmoe/internal/data/dataset';
import { prepareDataset } from 'locmoe/internal/data/prepare';
import { EXIT } from 'locmoe/internal/errors';
import { formatDuration, formatNumberOf } from 'locmoe/internal/format';
import { makeBenchFolders } from '../folders.js';
import { goesOnFromHere, runTraining } from '../training.js';
import { evaluateByRule } from './by-rule.js';
import { type Calibration, calibrate, type InterNodeLink, linkOf } from './calibration.js';
import { Comparison, type RunResult } from './comparison.js';
import { type CostRow, costTable, measureRouterCost } from './cost.js';
import { allCells, type Job, jobId, type Kind, narrowed, planJobs, type Scope } from './jobs.js';
import { probeRun } from './probe.js';
import { writeReport } from './report.js';
import { ResultStore } from './result-store.js';
import { readRunFigures } from './run-figures.js';
import { durationLabel, type PlannedRuns, planText, secondsLeft } from './run-plan.js';
import {
  baselineJob,
  isProbed,
  qualityLayout,
  type RecipeOptions,
  type RunSettings,
  resolveJob,
  settingsOfJob,
} from './run-settings.js';
import { VARIANT_IDS } from './variants.js';

export interface BenchRoutersOptions extends RecipeOptions {
  /** Runs per router, with seeds 1, 2, ... */
  readonly seeds: number;
  /** Each run serves for quality and time. */
  readonly quick: boolean;
  /** Kinds of runs, routers, layouts and placements; empty for all. */
  readonly only: readonly string[];
  /** A run or step folder: the dense model from which the models of all runs for quality grow; if undefined they begin at random. */
  readonly inherit?: string;
  /** Link between nodes in Gb/s; searched if undefined. */
  readonly link?: number;
  /** Only measures the gates again. */
  readonly cost: boolean;
  /** Stores finished runs, so that a second call continues. */
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

const CALIBRATION_STEPS = 50;
/** Steps from which the time of a run is guessed; half of them are warm-up. */
const TRIAL_STEPS = 12;
/** So few runs are as soon done as guessed. */
const FEW_RUNS = 5;
const COST = 'router-cost';

/**
 * `locmoe bench routers`: trains all routers under equal conditions and reports what each saves and costs.
 * Finished runs are kept and reused; the report covers all that exist.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything runs, `INTERNAL` if a run failed
 */
export async function benchRouters(options: BenchRoutersOptions): Promise<number> {
  return new RouterBench(options).run().catch(goesOnFromHere);
}

class RouterBench {
  readonly #store: ResultStore;
  /** Runs for quality, part of the report: what is learned does not depend on the machine. */
  readonly #published: string;
  readonly #dense: Checkpoint | null;

  constructor(readonly options: BenchRoutersOptions) {
    const { inherit } = options;
    const warn = (line: string) => console.error(`locmoe: ${line}`);
    this.#dense = inherit === undefined ? null : resolveCheckpoint(inherit, warn);
    this.#published = path.resolve(options.out, 'routers-runs.jsonl');
    this.#store = new ResultStore(path.resolve(options.workDir, 'results'), this.#published);
  }

  async run(): Promise<number> {
    const { options } = this;
    if (options.cost) {
      console.log(costTable(this.#measureCost()));
      return EXIT.done;
    }
    const all = this.#wholeScope();
    const jobs = planJobs(narrowed(all, options.only));
    for (const job of jobs) {
      const { config } = resolveJob(options, job, null);
      if (this.#dense !== null && job.kind !== 'time') assertInheritable(this.#dense, config);
    }
    makeBenchFolders(options);
    await this.#prepareText();
    const isWhole = options.only.length === 0;
    const cost = this.#store.get<CostRow[]>(COST, COST) ?? (isWhole ? this.#measureCost() : []);
    const calibration = await this.#calibration(jobs.some(({ kind }) => kind !== 'quality'));
    await this.#runAll(jobs, calibration?.link ?? null);
    await this.#report(planJobs(all), calibration, cost);
    return EXIT.done;
  }

  #wholeScope(): Scope {
    const { config, set, seeds, quick } = this.options;
    return {
      kinds: quick ? ['quick'] : ['quality', 'time'],
      variants: VARIANT_IDS,
      cells: allCells(),
      seeds: Array.from({ length: seeds }, (_, i) => i + 1),
      qualityLayout: qualityLayout(loadConfig(config, { sets: set }), availableParallelism()),
    };
  }

  /** Before the runs, which would count it as their time. */
  async #prepareText(): Promise<void> {
    const { config, set, dataDir } = this.options;
    const { data, model } = loadConfig(config, { sets: set });
    const dataset = await prepareDataset({
      ...data,
      dataDir: path.resolve(dataDir),
      corpusDir: CORPUS_DIR,
      vocabSize: model.vocabSize,
      log: (line) => console.log(line),
    });
    dataset.close();
  }

  async #report(
    planned: readonly Job[],
    calibration: Calibration | null,
    cost: readonly CostRow[],
  ): Promise<void> {
    const { options } = this;
    const link = calibration?.link ?? null;
    // Without a link there is no key to ask for what was timed with one.
    const known = planned.filter(({ kind }) => kind === 'quality' || calibration !== null);
    const headline = await writeReport({
      ...options,
      comparison: new Comparison(known.flatMap((job) => this.#kept(job, link) ?? [])),
      calibration,
      cost,
      recipe: options.config,
      dense: this.#dense?.manifest ?? null,
      numExperts: loadConfig(options.config, { sets: options.set }).moe.numExperts,
      numPlanned: Object.fromEntries(
        kindsOf(planned).map((kind) => [kind, planned.filter((job) => job.kind === kind).length]),
      ),
    });
    const forQuality = planned.filter(({ kind }) => kind === 'quality');
    this.#store.publish(
      this.#published,
      forQuality.map((job) => ({ name: jobId(job), key: this.#key(job, link) })),
    );
    console.log(`\n${JSON.stringify(headline, null, 2)}\n\nreport: ${path.join(options.out, 'routers.md')}`);
  }

  #measureCost(): CostRow[] {
    console.log('cost of the gates alone');
    return this.#store.put(COST, COST, measureRouterCost());
  }

  #kept(job: Job, link: InterNodeLink): RunResult | null {
    return this.#store.get<RunResult>(jobId(job), this.#key(job, link));
  }

  /** All that the figures of a run depend on. */
  #key(job: Job, link: InterNodeLink): unknown {
    const { config } = resolveJob(this.options, job, link);
    if (this.#dense === null || job.kind === 'time') return config;
    const { runId, step } = this.#dense.manifest;
    return { config, inheritedFrom: { runId, step } };
  }

  /** What a run took on this machine; null if it was not made here. */
  #secondsHere(job: Job, link: InterNodeLink): number | null {
    return this.#store.getOwn<RunResult>(jobId(job), this.#key(job, link))?.seconds ?? null;
  }

  /** @param isNeeded whether to search a link that is not known */
  async #calibration(isNeeded: boolean): Promise<Calibration | null> {
    const { link: gbps } = this.options;
    if (gbps !== undefined) return { link: linkOf(gbps), share: null, trials: [] };
    const job = baselineJob('time');
    const { model, moe, data, cluster, train } = resolveJob(this.options, job, null).config;
    const { globalBatch, precision } = train;
    const key = { model, moe, data, cluster, globalBatch, precision };
    const kept = this.#store.get<Calibration>('calibration', key);
    if (kept !== null || !isNeeded) return kept;
    console.log(`link between nodes: searching, by runs of ${CALIBRATION_STEPS} steps`);
    const calibration = await calibrate((link) => this.#shareWith(job, link));
    return this.#store.put('calibration', key, calibration);
  }

  async #shareWith(job: Job, link: InterNodeLink): Promise<number> {
    const folder = await this.#train('calibration', this.#short(job, link, CALIBRATION_STEPS));
    const { allToAllShare } = readRunFigures(folder.metrics);
    rmSync(folder.checkpoints, { recursive: true, force: true });
    const label = link === null ? 'no limit' : `${link.gbps} Gb/s`;
    console.log(`  ${label}: all-to-all takes ${percent(allToAllShare)} of a step`);
    return allToAllShare;
  }

  #short(job: Job, link: InterNodeLink, steps: number): string[] {
    const length = [`train.steps=${steps}`, 'train.warmupSteps=0', 'train.validationSequences=1'];
    return [...settingsOfJob(this.options, job, link), ...length];
  }

  async #runAll(jobs: readonly Job[], link: InterNodeLink): Promise<void> {
    const plan = await this.#plan(jobs, link);
    console.log(planText(plan));
    const missing = jobs.filter((job) => this.#kept(job, link) === null);
    const began = performance.now();
    for (const [i, job] of missing.entries()) {
      const result = await this.#runJob(job, link);
      const runs = plan.findIndex(({ kind }) => kind === job.kind);
      const { numKept, numMissing, tookS } = plan[runs];
      plan[runs] = {
        ...plan[runs],
        numKept: numKept + 1,
        numMissing: numMissing - 1,
        tookS: [...tookS, result.seconds],
      };
      const took = formatDuration(result.seconds);
      const left = durationLabel(secondsLeft(plan));
      console.log(`[${i + 1}/${missing.length}] ${jobId(job)}: ${oneLine(result)}, ${took}, left ${left}`);
    }
    if (missing.length > 0)
      console.log(
        `${formatNumberOf(missing.length, 'run')} in ${formatDuration((performance.now() - began) / 1000)}`,
      );
  }

  async #plan(jobs: readonly Job[], link: InterNodeLink): Promise<PlannedRuns[]> {
    const plan: PlannedRuns[] = [];
    for (const kind of kindsOf(jobs)) {
      const own = jobs.filter((job) => job.kind === kind);
      const numKept = own.filter((job) => this.#kept(job, link) !== null).length;
      const numMissing = own.length - numKept;
      const tookS = own.flatMap((job) => this.#secondsHere(job, link) ?? []);
      const [{ layout }] = own;
      const settings = resolveJob(this.options, baselineJob(kind, layout), link);
      const isGuessed = tookS.length === 0 && numMissing > FEW_RUNS;
      const guessS = isGuessed ? await this.#guessS(kind, layout, link, settings) : null;
      plan.push({ kind, what: whatOf(own, settings), numKept, numMissing, tookS, guessS });
    }
    return plan;
  }

  /** Seconds of a run of the baseline, from its first steps. */
  async #guessS(
    kind: Kind,
    layout: Job['layout'],
    link: InterNodeLink,
    { config }: RunSettings,
  ): Promise<number> {
    const name = `trial-${kind}`;
    const kept = this.#store.get<number>(name, config);
    if (kept !== null) return kept;
    console.log(`time of a run for ${kind}: guessing, by ${TRIAL_STEPS} steps`);
    const began = performance.now();
    const folder = await this.#train(name, this.#short(baselineJob(kind, layout), link, TRIAL_STEPS));
    const { stepMs } = readRunFigures(folder.metrics);
    rmSync(folder.checkpoints, { recursive: true, force: true });
    const tookMs = performance.now() - began;
    const guess = (tookMs + (config.train.steps - TRIAL_STEPS) * stepMs.median) / 1000;
    return this.#store.put(name, config, guess);
  }

  async #runJob(job: Job, link: InterNodeLink): Promise<RunResult> {
    const began = performance.now();
    const { sets } = resolveJob(this.options, job, link);
    const inherit = this.#dense === null || job.kind === 'time' ? [] : ['--inherit', this.#dense.folder];
    const folder = await this.#train(jobId(job), sets, inherit);
    const figures = readRunFigures(folder.metrics);
    const learned = job.kind === 'time' ? { byRule: null, probe: null } : whatIsLearned(job, folder);
    rmSync(folder.checkpoints, { recursive: true, force: true });
    const seconds = (performance.now() - began) / 1000;
    return this.#store.put(jobId(job), this.#key(job, link), { ...job, figures, ...learned, seconds });
  }

  #train(name: string, sets: readonly string[], more: readonly string[] = []): Promise<RunFolder> {
    const { config, workDir, dataDir } = this.options;
    return runTraining({ config, sets, more, dataDir, folder: path.resolve(workDir, 'runs', name) });
  }
}

function whatIsLearned(job: Job, folder: RunFolder): Pick<RunResult, 'byRule' | 'probe'> {
  const dataset = openDataset(folder.readRecord()!.datasetDir);
  try {
    return {
      byRule: evaluateByRule(folder.checkpoints, dataset),
      probe: isProbed(job) ? probeRun(folder.checkpoints, dataset) : null,
    };
  } finally {
    dataset.close();
  }
}

function kindsOf(jobs: readonly Job[]): Kind[] {
  return [...new Set(jobs.map(({ kind }) => kind))];
}

function whatOf(jobs: readonly Job[], { config }: RunSettings): string {
  const layouts = [...new Set(jobs.map(({ layout }) => layout))].join(' and ');
  const { steps } = config.train;
  const million = ((steps * tokensPerStep(config)) / 1e6).toFixed(1);
  return `${steps} steps, ${million} million tokens, on ${layouts}`;
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

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
