import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseRoutesFileName, RunFolder } from '@locmoe/run-format';
import { asTrainerError, TrainerError } from '../errors.js';
import { digestFile, sha256 } from '../sha256.js';
import type { ConfigSource, Named } from './document.js';
import { fieldOf, withFields } from './fields.js';

// Recorded routes are identified by their folder and a hash of their files, FOLDER#sha256=HASH, like a router's file.

/** Values of `train.routes` that are rules, not recorded routes. */
export const CHOICE_RULES = ['router', 'balanced', 'random'] as const;
const NAME = /^(.+)#sha256=([0-9a-f]{64})$/;

/**
 * If `train.routes` is a folder, makes its path absolute and adds the hash of the recorded routes.
 *
 * @param base folder of the configuration file; a path given by an option is relative to the working folder
 */
export function nameRoutes(value: unknown, source: ConfigSource, base: string): Named {
  const routes = fieldOf(fieldOf(value, 'train'), 'routes');
  if (typeof routes !== 'string' || isRule(routes) || NAME.test(routes)) return { value, problems: [] };
  const from = source.isOverridden(['train', 'routes']) ? process.cwd() : base;
  const place = path.resolve(from, routes);
  try {
    return {
      value: withFields(value, 'train', { routes: `${place}#sha256=${hashOf(place)}` }),
      problems: [],
    };
  } catch (error) {
    const rest = withFields(value, 'train', { routes: 'router' });
    return { value: rest, problems: [{ path: ['train', 'routes'], message: asTrainerError(error).message }] };
  }
}

export function isRule(routes: string): routes is (typeof CHOICE_RULES)[number] {
  return (CHOICE_RULES as readonly string[]).includes(routes);
}

/** Returns the folder of recorded routes that `train.routes` names; null if it names a rule. */
export function placeOfRoutes(routes: string): string | null {
  return isRule(routes) ? null : (NAME.exec(routes)?.[1] ?? routes);
}

/**
 * @throws TrainerError `BAD_CONFIG` if the recorded routes on this machine differ from those of the run, or
 * are missing
 */
export function assertSameRoutes(routes: string): void {
  const [, place, expected] = NAME.exec(routes) ?? [];
  if (place === undefined) return;
  const actual = hashOf(place);
  if (actual !== expected)
    throw bad(place, `the recorded routes have SHA-256 ${actual} here, and ${expected} in the run`);
}

/**
 * Finds the recorded routes of a run, or of a folder with its files.
 *
 * @returns the files of each step
 * @throws TrainerError `BAD_CONFIG` if there are none
 */
export function routeFilesAt(place: string): ReadonlyMap<number, readonly string[]> {
  const folder = [new RunFolder(place).routes, place].find((each) =>
    statSync(each, { throwIfNoEntry: false })?.isDirectory(),
  );
  if (folder === undefined)
    throw bad(place, `is no run with recorded routes; give its folder, or ${CHOICE_RULES.join(', ')}`);
  const filesOfStep = new Map<number, string[]>();
  for (const name of readdirSync(folder).sort()) {
    const step = parseRoutesFileName(name)?.step;
    if (step === undefined) continue;
    const files = filesOfStep.get(step) ?? [];
    filesOfStep.set(step, files);
    files.push(path.join(folder, name));
  }
  if (filesOfStep.size === 0) throw bad(place, `has no recorded routes; ${HOW_TO_RECORD}`);
  return filesOfStep;
}

export const HOW_TO_RECORD = 'record a run with train.recordRoutes.every=1 and train.recordRoutes.share=1';

function hashOf(place: string): string {
  const files = [...routeFilesAt(place).values()].flat();
  return sha256(files.map((file) => `${path.basename(file)} ${digestFile(file).sha256}\n`).join(''));
}

function bad(place: string, why: string): TrainerError {
  return new TrainerError('BAD_CONFIG', `${place}: ${why}`);
}
