import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { getEnvironmentData, isMainThread } from 'node:worker_threads';
import { familyOf } from './process-info.js';
import { MAIN_PROGRAM } from './start-thread.js';

const RECORDED = ['train', 'serve', 'launch', 'logs'];
/** An override that sets `moe.router`, alone or in its section. */
const NAMES_ROUTER = /^(?:--set=)?moe(?:\.router)?=/;
const SHELLS = ['sh', 'dash', 'bash', 'busybox'];
export const CLI = fileURLToPath(new URL(`../cli/cli${path.extname(import.meta.url)}`, import.meta.url));
const LOCAL_BIN = path.join('node_modules', '.bin');

let starter: readonly string[] | undefined;

/**
 * Returns a shell command that starts this program in the working directory: it begins with `locmoe` if PATH leads to this
 * program by that name, else with the words that started this process. It never makes npx fetch a package from a registry.
 */
export function locmoeCommand(words: readonly string[]): string {
  const program = isMainThread ? process.argv[1] : getEnvironmentData(MAIN_PROGRAM);
  starter ??= starterOf(process, program as string | undefined);
  return [...starter, ...words].map(quote).join(' ');
}

/**
 * Rewrites a command that a run has recorded as one of this program, since it is to be pasted into a shell
 * and the run may come from a stranger.
 *
 * @returns null if the command is not one that a run records, sets a router (whose code would run), or has control characters
 */
export function recordedCommand(recorded: string): string | null {
  const quoted = [...recorded.matchAll(/(?:'[^']*'|\\'|[^\s'])+/g)];
  const words = quoted.map(([word]) => word.replace(/'([^']*)'|\\(')/g, '$1$2'));
  const begin = words.findIndex((word) => RECORDED.includes(word));
  const own = words.slice(begin);
  return begin < 0 || own.some((word) => NAMES_ROUTER.test(word) || /\p{Cc}/u.test(word))
    ? null
    : locmoeCommand(own);
}

/**
 * Returns the words that start this program again.
 *
 * @param program file that Node was told to run
 */
function starterOf(
  { env, pid }: Pick<NodeJS.Process, 'env' | 'pid'>,
  program: string | undefined,
): readonly string[] {
  // With --no-install npx does not look in its cache, so a package that it fetched is started by its path.
  if (npxOf(pid) !== null && !CLI.includes('/_npx/')) return ['npx', '--no-install', 'locmoe'];
  // npm adds node_modules/.bin folders to the PATH of the commands that it runs; the user's shell does not have them.
  const isNpms = (folder: string) => Boolean(env.npm_command) && folder.endsWith(LOCAL_BIN);
  const folders = (env.PATH ?? '').split(path.delimiter).filter((folder) => folder !== '' && !isNpms(folder));
  if (folders.some((folder) => isCli(path.join(folder, 'locmoe')))) return ['locmoe'];
  return [program !== undefined && isCli(program) ? program : CLI];
}

function isCli(file: string): boolean {
  try {
    return realpathSync(file) === realpathSync(CLI);
  } catch {
    return false;
  }
}

/** Returns the npx that started a process, directly or by its shell; null if the process group has none. */
export function npxOf(pid: number): number | null {
  const { group, parent } = familyOf(pid);
  const above = SHELLS.includes(nameOf(parent)) ? familyOf(parent).parent : parent;
  return nameOf(above).startsWith('npm exec') && familyOf(above).group === group ? above : null;
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Returns a path relative to the working directory if it is inside it, else as it is given. */
export function fromHere(place: string): string {
  const relative = path.relative('.', place);
  return !path.isAbsolute(place) || relative.startsWith('..') ? place : relative || '.';
}
