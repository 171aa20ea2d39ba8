import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { loadTask, type Task } from 'locmoe/internal/evaluation/load-task';
import { refusal } from 'locmoe/internal/evaluation/question';
import { statOf } from 'locmoe/internal/evaluation/read-text';

/** Names a folder with benchmarks as they are published; they are not part of this repository. */
export const EVAL_DATA = 'LOCMOE_EVAL_DATA';
/** Folder of the question pools of Debian's packages. */
const DEBIAN = '/usr/share';

/** A benchmark of one or several files. */
export interface Benchmark {
  readonly name: string;
  readonly tasks: readonly Task[];
}

interface AtHand {
  readonly benchmarks: readonly Benchmark[];
  /** Names of those that are not. */
  readonly missing: readonly string[];
}

/**
 * Reads the benchmarks that are on this machine.
 *
 * @param folder null without one of published files
 * @throws TrainerError `BAD_INPUT` if the folder is none, or a file is damaged
 */
export async function benchmarksAtHand(folder: string | null): Promise<AtHand> {
  if (folder !== null && !statOf(folder).isDirectory())
    throw refusal(`${EVAL_DATA} ${folder}`, 'is no folder');
  const benchmarks: Benchmark[] = [];
  const missing: string[] = [];
  for (const [name, files] of Object.entries(filesAtHand(folder))) {
    if (files.length === 0) missing.push(name);
    else benchmarks.push({ name, tasks: await Promise.all(files.map((file) => loadTask(file, null))) });
  }
  return { benchmarks, missing };
}

function filesAtHand(folder: string | null): Readonly<Record<string, readonly string[]>> {
  const names = folder === null ? [] : readdirSync(folder).sort();
  const own = (pattern: RegExp) =>
    names.filter((name) => pattern.test(name)).map((name) => path.join(folder!, name));
  const pool = (name: string) =>
    [...own(new RegExp(`^${name}$`)), path.join(DEBIAN, name)].filter((place) => existsSync(place));
  return {
    TeleQnA: own(/^TeleQnA\.(txt|zip)$/).slice(-1),
    OpsEval: own(/^opseval-test-.*\.json$/),
    hamexam: pool('hamexam').slice(0, 1),
    fccexam: pool('fccexam').slice(0, 1),
  };
}
