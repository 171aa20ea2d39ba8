import { processTree, proportionalBytes } from 'locmoe/internal/os/process-info';

/**
 * Sampling reads the page tables of every process: often enough to catch the peak of a step, seldom enough
 * not to slow it down.
 */
const SAMPLE_MS = 500;

/**
 * Peak memory of processes and their descendants during `run`: the maximum over samples of the summed PSS, so
 * that shared pages (libraries, shared memory) count once. Summed VmHWM would count them per process and add
 * peaks of different moments.
 *
 * @param run receives a function that adds a process to those watched
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
