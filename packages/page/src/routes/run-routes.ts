import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { type RunFolder, type RunRecord, TOKENIZER_FILE } from '@locmoe/run-format';
import { parseRoutesFileName } from '@locmoe/run-format/routes-file';
import { fromHere, locmoeCommand } from 'locmoe/internal/os/command-line';
import { expertsOfDomain } from 'locmoe/internal/routing/groups/domain-groups';
import type { RecordedSteps, StepRoutes } from '../api-routes.js';
import { foldersIn } from '../checkpoints.js';
import { notFound } from '../run-catalog.js';
import { type ListedRun, readJson } from '../run-item.js';
import type { StepFiles } from './routes-thread.js';

/** Maximum number of listed steps; a long run with `every: 1` has recorded more. */
const MOST_STEPS = 10_000;
const EVERY = 50;

/** The fields of `config.json` that say how routes were recorded, and which experts there are. */
interface RoutesConfig {
  readonly data?: { readonly domains?: readonly string[]; readonly endOfText?: string | null };
  readonly moe?: {
    readonly numExperts: number;
    readonly expertGroups: number;
    readonly subModel?: { readonly domains: string[]; readonly domain: string } | null;
  };
  readonly train?: { readonly recordRoutes?: RecordedSteps['recording'] };
}

/** Returns which steps of a run were recorded, and how to record if none was. */
export function recordedSteps({ folder }: ListedRun): RecordedSteps {
  const filesOf = filesByStep(folder.routes);
  const steps = [...filesOf.keys()].sort((a, b) => a - b);
  const shown = steps.slice(-MOST_STEPS);
  const { recordRoutes = null } = readJson<RoutesConfig>(folder, 'config.json')?.train ?? {};
  const config = fromHere(path.join(folder.directory, 'config.json'));
  return {
    steps: shown,
    files: shown.map((step) => filesOf.get(step)!.length),
    leftOut: steps.length - shown.length,
    recording: recordRoutes && { every: recordRoutes.every, share: recordRoutes.share },
    command: locmoeCommand(['train', '--config', config, '--set', `train.recordRoutes.every=${EVERY}`]),
  };
}

/**
 * Finds the files of a step.
 *
 * @throws NotFound if nothing is recorded of it
 */
export function filesOfStep(run: ListedRun, step: number): StepFiles {
  const files = filesByStep(run.folder.routes).get(step)?.sort() ?? [];
  if (files.length === 0) notFound(`no routes are recorded of step ${step} of run ${run.folder.runId}`);
  return { ...factsOf(run), step, files, key: files.map(stampOf).join('\n') };
}

/** Finds the files of a run's probe; of a run without one there are none. */
export function filesOfProbe(run: ListedRun): StepFiles {
  const files = [...filesByStep(run.folder.probe).values()].flat();
  return { ...factsOf(run), step: 0, files, key: '' };
}

function factsOf({ folder, record }: ListedRun): Pick<StepFiles, 'model' | 'tokenizers' | 'endOfText'> {
  const config = readJson<RoutesConfig>(folder, 'config.json');
  return {
    model: modelOf(config),
    tokenizers: tokenizersOf(folder, record),
    endOfText: config?.data?.endOfText ?? null,
  };
}

function filesByStep(folder: string): Map<number, string[]> {
  const filesOf = new Map<number, string[]>();
  for (const name of namesIn(folder)) {
    const parsed = parseRoutesFileName(name);
    if (parsed === null) continue;
    const files = filesOf.get(parsed.step) ?? [];
    files.push(path.join(folder, name));
    filesOf.set(parsed.step, files);
  }
  return filesOf;
}

/** Lists the names in a folder; none if nothing is recorded. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Returns a stamp of a file with its size and time, as repeating a step replaces its files. */
function stampOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false });
  return `${file} ${stat?.size} ${stat?.mtimeMs}`;
}

function modelOf(config: RoutesConfig | null): Pick<StepRoutes, 'numExperts' | 'expertsOfDomain'> {
  const { data, moe } = config ?? {};
  const domains = data?.domains ?? [];
  if (moe === undefined) return { numExperts: 0, expertsOfDomain: {} };
  try {
    const open = expertsOfDomain(domains.length, { ...moe, subModel: moe.subModel ?? null });
    const entries = domains.map((domain, at) => [domain, [...open[at]!]]);
    return { numExperts: moe.numExperts, expertsOfDomain: Object.fromEntries(entries) };
  } catch {
    // The configuration is of another version; experts still have colours, but without groups.
    return { numExperts: 0, expertsOfDomain: {} };
  }
}

/** Lists the places of the run's tokenizer: its checkpoints, or before the first one the prepared text. */
function tokenizersOf({ checkpoints }: RunFolder, { datasetDir }: RunRecord): string[] {
  const folders = foldersIn(checkpoints).sort().reverse();
  return [...folders.slice(0, 1), path.resolve(datasetDir)].map((folder) =>
    path.join(folder, TOKENIZER_FILE),
  );
}
