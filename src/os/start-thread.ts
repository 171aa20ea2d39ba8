import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isMainThread, setEnvironmentData, Worker } from 'node:worker_threads';

/** Name under which threads find the program of their process: their own `process.argv` has that of the thread. */
export const MAIN_PROGRAM = 'main program';

/**
 * Starts a thread of this process, which runs a built program, or a bundle of its source if this process runs sources.
 *
 * @param program URL of the module, with the ending .js also where the sources run
 */
export function startThread(program: URL, workerData?: unknown): Worker {
  if (isMainThread) setEnvironmentData(MAIN_PROGRAM, process.argv[1]);
  if (!import.meta.url.endsWith('.ts')) return new Worker(program, { workerData });
  // The bundle needs none of the options with which this process runs sources.
  return new Worker(programFile(program), { workerData, execArgv: [] });
}

/** Returns the path of the file that Node runs for a program, as `startThread` takes it. */
export function programFile(program: URL): string {
  const file = fileURLToPath(program);
  return runnable(import.meta.url.endsWith('.ts') ? file.replace(/\.js$/, '.ts') : file);
}

const BUNDLER = fileURLToPath(new URL('../../scripts/bundle-program.mjs', import.meta.url));
const bundles = new Map<string, string>();

/**
 * Returns the path of the file that Node runs for a program. A built program is that file; a source file, as in tests,
 * is bundled first, once per process.
 *
 * @throws Error if esbuild reports errors, which it has printed
 */
export function runnable(program: string): string {
  if (!program.endsWith('.ts')) return program;
  const known = bundles.get(program);
  if (known !== undefined) return known;
  const bundle = execFileSync(process.execPath, [BUNDLER, program], { encoding: 'utf8' }).trimEnd();
  bundles.set(program, bundle);
  return bundle;
}
