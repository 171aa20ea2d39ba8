import { processTree, proportionalBytes } from 'locmoe/os/process-info';

/** A sample reads the page tables of every process: often enough to see the top of a step, seldom enough not to slow it. */
const SAMPLE_MS = 500;

/**
 * Most memory that processes and their descendants hold together while `run` goes on: the greatest sum of PSS among
 * samples, so that a page that several map, of a library or of shared memory, counts once. (Sums of VmHWM would count it
 * in each, and add up peaks of different moments.)
 *
 * @param run is given a function that adds a process to what is watched
 */
export async function withPeakMemory<T>(
  run: (watch: (pid: number) => void) => Promise<T>,
): Promise<{ readonly value: T; readonly peakBytes: number }> {
  const roots: number[] = [];
  let peakBytes = 0;
  const timer = setInterval(() => {
    const bytes = processTree(roots).reduce((sum, pid) => sum + proportionalBytes(pid), 0);
    peakBytes = Math.max(peakBytes, bytes);
  }, SAMPLE_MS);
  try {
    const value = await run((pid) => roots.push(pid));
    return { value, peakBytes };
  } finally {
    clearInterval(timer);
  }
}
