import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { EXIT } from 'locmoe/internal/errors';
import { makeBenchFolders } from '../folders.js';
import { machine } from '../machine.js';
import { goesOnFromHere } from '../training.js';
import { type Answers, answersOf } from './answers.js';
import type { ModelResult } from './figures.js';
import { describeMaterial, type Material, materialOf } from './material.js';
import { type Model, modelId, modelsOf } from './models.js';
import { type Part, type PartKind, Parts } from './parts.js';
import { writeReport } from './report.js';
import {
  type BaseOptions,
  type BaseSettings,
  baseSettings,
  SAMPLES_DOMAIN,
  type Training,
  train,
  tuningSets,
} from './train.js';

export interface BenchFineTuningOptions extends BaseOptions {
  /** Steps of fine-tuning. */
  readonly tuneSteps: number;
  /** Models of each router. */
  readonly seeds: number;
  /** Routers; empty for all. */
  readonly only: readonly string[];
  /** Questions of each file; all if undefined. */
  readonly limit?: number;
  /** Cloze questions of each domain. */
  readonly cloze: number;
  /** Keeps models and answers, so that a second call goes on. */
  readonly workDir: string;
  /** Output folder of the report. */
  readonly out: string;
  readonly dataDir: string;
  /** The command line, quoted in the report. */
  readonly command: string;
}

/**
 * `locmoe bench fine-tuning`: trains a model with each router, fine-tunes it on telecom questions and answers, and asks
 * both what was held out.
 *
 * @returns the exit code
 * @throws TrainerError `BAD_CONFIG` or `BAD_INPUT` before anything is trained; as `runTraining`
 */
export function benchFineTuning(options: BenchFineTuningOptions): Promise<number> {
  return bench(options).catch(goesOnFromHere);
}

async function bench(options: BenchFineTuningOptions): Promise<number> {
  const models = modelsOf(options.only, options.seeds);
  const settings = models.map((model) => baseSettings(options, model));
  const [{ config }] = settings;
  makeBenchFolders(options);
  const material = await materialOf(config, options);
  console.log(describeMaterial(material));
  const work = models.map((model, i) => workOf(options, model, settings[i]!, material));
  const parts = new Parts(
    path.resolve(options.workDir, 'results'),
    work.flatMap((each) => Object.values(each.parts)),
  );
  console.log(parts.describe());
  const samplesFile = path.resolve(options.workDir, `${SAMPLES_DOMAIN}.jsonl`);
  writeFileSync(samplesFile, material.samples.map((sample) => `${JSON.stringify(sample)}\n`).join(''));
  const results: ModelResult[] = [];
  for (const each of work) results.push(await resultOf(options, each, { parts, material, samplesFile }));
  const report = await writeReport(
    {
      results,
      material,
      config,
      machine: machine(),
      command: options.command,
      limit: options.limit ?? null,
      hours: parts.meanSeconds('base') / 3600,
    },
    options.out,
  );
  console.log(`report: ${report}`);
  return EXIT.done;
}

/** What is to be done for a model. */
interface Work {
  readonly model: Model;
  readonly baseSets: readonly string[];
  readonly tuneSets: readonly string[];
  readonly parts: Readonly<Record<PartKind, Part>>;
}

function workOf(
  { tuneSteps }: BenchFineTuningOptions,
  model: Model,
  { config, sets: baseSets }: BaseSettings,
  { keys }: Material,
): Work {
  const tuneSets = tuningSets(config, tuneSteps);
  const tuning = { config, tuneSets, samples: keys.samples };
  const part = (kind: PartKind, key: object, ...usedBy: Part[]): Part => ({ model, kind, key, usedBy });
  const after = part('after', { ...tuning, asked: keys.asked });
  const tuned = part('tuned', tuning, after);
  const before = part('before', { config, asked: keys.asked });
  const base = part('base', config, before, tuned);
  return { model, baseSets, tuneSets, parts: { base, before, tuned, after } };
}

async function resultOf(
  { config, workDir, dataDir }: BenchFineTuningOptions,
  { model, baseSets, tuneSets, parts: part }: Work,
  {
    parts,
    material,
    samplesFile,
  }: { readonly parts: Parts; readonly material: Material; readonly samplesFile: string },
): Promise<ModelResult> {
  const folder = (kind: PartKind) => path.resolve(workDir, 'runs', modelId(model), kind);
  const base = await parts.do<Training>(part.base, () =>
    train({ config, sets: baseSets, folder: folder('base'), dataDir }),
  );
  const before = await parts.do<Answers>(part.before, () => answersOf(base.checkpoint, material));
  const tuned = await parts.do<Training>(part.tuned, () =>
    train({
      sets: tuneSets,
      folder: folder('tuned'),
      dataDir,
      more: ['--instruct', samplesFile, '--init', base.checkpoint],
    }),
  );
  const after = await parts.do<Answers>(part.after, () => answersOf(tuned.checkpoint, material));
  return { ...model, base, before, tuned, after };
}
