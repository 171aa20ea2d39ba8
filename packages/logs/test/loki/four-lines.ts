import { logLine } from '../support.js';
import { ns, TestLoki } from './server.js';

export const line = (atMs: number, rank: number, level = 'info', more: object = {}) =>
  logLine({ atMs, node: 0, rank, level, ...more });

/** Labels of the stream of a rank and level. */
export const stream = (rank: number, level = 'info') => ({
  run: 'r1',
  source: 'worker',
  node: '0',
  rank: String(rank),
  level,
  generation: '1',
  service_name: 'locmoe',
});

/** Labels of such a line in an answer, which include the detected level. */
export const labels = (rank: number, level = 'info') => ({ ...stream(rank, level), detected_level: level });

/** Lines of rank 0 at 0, 1000 and 2000 ms, the last one an error, and of rank 1 at 1000 ms. */
export async function lokiOfFour(): Promise<TestLoki> {
  const loki = await TestLoki.start();
  loki.runs.write('node-0', [line(0, 0), line(1000, 0), line(1000, 1), line(2000, 0, 'error')]);
  return loki;
}

export const ALL = { start: ns(0), end: ns(10_000) };
