import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { forkProgram, programBeside } from '@locmoe/test-kit';
import { WORKER_ENV } from 'locmoe/internal/agent/worker-env';
import { TrainerError } from 'locmoe/internal/errors';

/**
 * Measures the peak float32 matrix-product rate of the machine in FLOP/s: all cores at once, one single-threaded
 * process per core. The best of several windows counts, so that other load does not lower the limit.
 *
 * @throws TrainerError `INTERNAL` if a process failed; the reason of `signal`
 */
export async function measureSgemm(signal: AbortSignal): Promise<number> {
  const children = Array.from({ length: availableParallelism() }, () =>
    forkProgram(programBeside(import.meta.url, 'sgemm.program'), WORKER_ENV),
  );
  const killAll = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  signal.addEventListener('abort', killAll);
  if (signal.aborted) killAll();
  try {
    await Promise.all(children.map(messageOf));
    for (const child of children) child.send('go');
    const rates = (await Promise.all(children.map(messageOf))) as number[][];
    return Math.max(...rates[0]!.map((_, window) => rates.reduce((sum, each) => sum + each[window]!, 0)));
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener('abort', killAll);
    killAll();
  }
}

async function messageOf(child: ChildProcess): Promise<unknown> {
  const ended = new AbortController();
  try {
    return await Promise.race([
      once(child, 'message', { signal: ended.signal }).then(([message]) => message),
      once(child, 'exit', { signal: ended.signal }).then(([code]) => {
        throw new TrainerError('INTERNAL', `the measurement of matrix products ended with code ${code}`);
      }),
    ]);
  } finally {
    ended.abort();
  }
}
