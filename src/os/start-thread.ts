import { Worker } from 'node:worker_threads';

/**
 * Starts a thread of this process. Runs the built program; from sources tsx has to be registered inside it.
 *
 * @param program URL of the module, with the ending .js also where the sources run
 */
export function startThread(program: URL, workerData?: unknown): Worker {
  if (!import.meta.url.endsWith('.ts')) return new Worker(program, { workerData });
  const source = program.href.replace(/\.js$/, '.ts');
  const script = `import('tsx/esm/api').then(({ register }) => { register(); return import('${source}'); })`;
  return new Worker(script, { eval: true, workerData, execArgv: ['--conditions=source'] });
}
