import { rmSync } from 'node:fs';
import path from 'node:path';
import { loadConfig } from 'locmoe/config/resolve';
import type { RunConfig } from 'locmoe/config/schema';
import { openDataset } from 'locmoe/data/dataset';
import { EXIT } from 'locmoe/errors';
import { formatDuration } from 'locmoe/format';
import type { RunFolder } from 'locmoe/run/run-folder';
import { runTraining } from '../training.js';
import { type Calibration, calibrate, type InterNodeLink, linkOf } from './calibration.js';
import { Comparison, type RunResult } from './comparison.js';
import { type CostRow, costTable, measureRouterCost } from './cost.js';
import { BASELINE, HEADLINE_CELL, type Job, jobId, planJobs, scopeOf, settingsOf } from './jobs.js';
import { probeRun } from './probe.js';
import { writeReport } from './report.js';
import { ResultStore } from './result-store.js';
import { type RunFigures, readRunFigures } from './run-figures.js';

export interface BenchRoutersOptions {
  /** Recipe or config file. */
  readonly config: string;
  /** `--set` overrides of every run. */
  readonly set: readonly string[];
  /** Runs per router, with seeds 1, 2, ... */
  readonly seeds: number;
  /** Training steps; those of the recipe if undefined. */
  readonly steps?: number;
  /** Routers, layouts and placements; empty for all. */
  readonly only: readonly string[];
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
/** Validations of a run and, if it is probed, checkpoints. */
const POINTS_OF_A_RUN = 6;
const COST = 'router-cost';

/**
 * `locmoe bench routers`: trains all routers under equal conditions and reports what each saves and costs.
 * Finished runs are kept and reused; the report covers all that exist.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything runs, `INTERNAL` if a run failed
 */
export async function benchRouters(options: BenchRoutersOptions): Promise<number> {
  return new RouterBench(options).run();
}

class RouterBench {
  readonly #store: ResultStore;

  constructor(readonly options: BenchRoutersOptions) {
    this.#store = new ResultStore(path.resolve(options.workDir, 'results'));
  }

  async run(): Promise<number> {
    const { options } = this;
    if (options.cost) {
      console.log(costTable(this.#measureCost()));
      return EXIT.done;
    }
    const seeds = Array.from({ length: options.seeds }, (_, i) => i + 1);
    const jobs = planJobs(scopeOf(options.only, seeds));
    for (const job of jobs) this.#resolve(job, null);
    const isWhole = options.only.length === 0;
    const cost = this.#store.get<CostRow[]>(COST, COST) ?? (isWhole ? this.#measureCost() : []);
    const calibration = await this.#calibration();
    if (calibration === null || !(await this.#runAll(jobs, calibration.link))) {
      console.log('stopped; the same command goes on from here');
      return EXIT.interrupted;
    }
    const planned = planJobs(scopeOf([], seeds));
    const headline = await writeReport({
      ...options,
      comparison: new Comparison(planned.flatMap((job) => this.#kept(job, calibration.link) ?? [])),
      calibration,
      cost,
      config: this.#resolve({ ...HEADLINE_CELL, variant: BASELINE, seed: 1 }, calibration.link).config,
      numPlanned: planned.length,
    });
    console.log(`\n${JSON.stringify(headline, null, 2)}\n\nreport: ${path.join(options.out, 'routers.md')}`);
    return EXIT.done;
  }

  #measureCost(): CostRow[] {
    console.log('cost of the gates alone');
    return this.#store.put(COST, COST, measureRouterCost());
  }

  /** Overrides of a job on top of the recipe. */
  #settings(job: Job, link: InterNodeLink): string[] {
    const { steps } = this.options;
    return [
      ...this.options.set,
      ...(steps === undefined ? [] : [`train.steps=${steps}`]),
      ...settingsOf(job),
      `cluster.interNodeLink=${JSON.stringify(link)}`,
    ];
  }

  /** The configuration of a job, with validations (and checkpoints, if probed) spread evenly over the run. */
  #resolve(job: Job, link: InterNodeLink): { readonly config: RunConfig; readonly sets: string[] } {
    const sets = this.#settings(job, link);
    const { train } = loadConfig(this.options.config, { sets });
    const stride = Math.max(1, Math.ceil(train.steps / POINTS_OF_A_RUN));
    const all = [
      ...sets,
      `train.warmupSteps=${Math.min(train.warmupSteps, Math.floor(train.steps / 2))}`,
      `train.validateEvery=${stride}`,
      `train.checkpointEvery=${isProbed(job) ? stride : train.steps}`,
      `train.keepCheckpoints=${POINTS_OF_A_RUN}`,
    ];
    return { config: loadConfig(this.options.config, { sets: all }), sets: all };
  }

  #kept(job: Job, link: InterNodeLink): RunResult | null {
    return this.#store.get<RunResult>(jobId(job), this.#resolve(job, link).config);
  }

  async #calibration(): Promise<Calibration | null> {
    const { link: gbps } = this.options;
    if (gbps !== undefined) return { link: linkOf(gbps), share: null, trials: [] };
    const job: Job = { ...HEADLINE_CELL, variant: BASELINE, seed: 1 };
    const { model, moe, data, cluster, train } = this.#resolve(job, null).config;
    const key = { model, moe, data, cluster, globalBatch: train.globalBatch };
    const kept = this.#store.get<Calibration>('calibration', key);
    if (kept !== null) return kept;
    console.log(`link between nodes: searching, by runs of ${CALIBRATION_STEPS} steps`);
    const calibration = await calibrate((link) => this.#shareWith(job, link));
    return calibration && this.#store.put('calibration', key, calibration);
  }

  async #shareWith(job: Job, link: InterNodeLink): Promise<number | null> {
    const short = [`train.steps=${CALIBRATION_STEPS}`, 'train.warmupSteps=0', 'train.validationSequences=1'];
    const folder = await this.#train('calibration', [...this.#settings(job, link), ...short]);
    if (folder === null) return null;
    const { allToAllShare } = readRunFigures(folder.metrics);
    const label = link === null ? 'no limit' : `${link.gbps} Gb/s`;
    console.log(`  ${label}: all-to-all takes ${percent(allToAllShare)} of a step`);
    return allToAllShare;
  }

  /** @returns false if a signal stopped it */
  async #runAll(jobs: readonly Job[], link: InterNodeLink): Promise<boolean> {
    const missing = jobs.filter((job) => this.#kept(job, link) === null);
    console.log(`${jobs.length} runs, ${jobs.length - missing.length} of them kept from before`);
    const started = performance.now();
    for (const [i, job] of missing.entries()) {
      const result = await this.#runJob(job, link);
      if (result === null) return false;
      const secondsEach = (performance.now() - started) / 1000 / (i + 1);
      const left = formatDuration(secondsEach * (missing.length - i - 1));
      console.log(`[${i + 1}/${missing.length}] ${jobId(job)}: ${oneLine(result.figures)}, left ${left}`);
    }
    return true;
  }

  async #runJob(job: Job, link: InterNodeLink): Promise<RunResult | null> {
    const { config, sets } = this.#resolve(job, link);
    const folder = await this.#train(jobId(job), sets);
    if (folder === null) return null;
    const figures = readRunFigures(folder.metrics);
    const probe = isProbed(job) ? probeOf(folder) : null;
    rmSync(folder.checkpoints, { recursive: true, force: true });
    return this.#store.put(jobId(job), config, { ...job, figures, probe });
  }

  #train(name: string, sets: readonly string[]): Promise<RunFolder | null> {
    const { config, workDir, dataDir } = this.options;
    return runTraining({ config, sets, dataDir, folder: path.resolve(workDir, 'runs', name) });
  }
}

/** Token distributions are probed in the headline cell with the first seed. */
function probeOf(folder: RunFolder): ReturnType<typeof probeRun> {
  const dataset = openDataset(folder.readRecord()!.datasetDir);
  try {
    return probeRun(folder.checkpoints, dataset);
  } finally {
    dataset.close();
  }
}

function isProbed({ layout, placement, seed }: Job): boolean {
  return layout === HEADLINE_CELL.layout && placement === HEADLINE_CELL.placement && seed === 1;
}

function oneLine({ stepMs, allToAllShare, localShare, tokensPerExpert, perplexity }: RunFigures): string {
  return [
    `step ${stepMs.median.toFixed(0)} ms`,
    `all-to-all ${percent(allToAllShare)}`,
    `stayed on node ${percent(localShare)}`,
    `${tokensPerExpert.toFixed(0)} tokens per expert`,
    `perplexity ${perplexity.toFixed(1)}`,
  ].join(', ');
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
