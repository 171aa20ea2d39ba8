import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { NIGHTLY } from '../nightly.js';
import { type Locmoe, newestRun, startTraining, temporaryFolder, UNHURRIED } from './support.js';

interface Tail {
  readonly closed: Promise<number>;
  readonly lines: string[];
}

/** Follows all lines of a run, from the first one on. */
async function tailOf(run: Locmoe): Promise<Tail> {
  const { address, headers } = await run.http();
  const query = new URLSearchParams({ query: '{run=~".+"}', limit: '5000', start: '0' });
  const socket = new WebSocket(`ws://${address}/loki/api/v1/tail?${query}`, { headers });
  const lines: string[] = [];
  socket.on('message', (data) => {
    for (const { values } of JSON.parse(String(data)).streams)
      for (const [, line] of values) lines.push(line);
  });
  const closed = new Promise<number>((resolve, reject) => {
    socket.on('close', resolve);
    socket.on('error', reject);
  });
  return { closed, lines };
}

function logOf(run: string): string[] {
  const folder = path.join(run, 'logs');
  return readdirSync(folder).flatMap((file) =>
    readFileSync(path.join(folder, file), 'utf8').split('\n').filter(Boolean),
  );
}

type Ending = readonly [what: string, code: number, end: (run: Locmoe) => void];
const FAILS: Ending = ['fails', 3, (run) => process.kill(run.pidsOf('worker')[0], 'SIGKILL')];
const IS_INTERRUPTED: Ending = ['is interrupted', 130, (run) => run.interrupt()];

it.each(NIGHTLY ? [FAILS, IS_INTERRUPTED] : [FAILS])(
  'a tail is delivered every line of the log before it is closed when a run %s',
  async (_, code, end) => {
    const folder = temporaryFolder();
    const sets = ['train.steps=100000', 'logLevel=debug'];
    const run = startTraining({ folder, nodes: 1, workersPerNode: 1, sets, env: UNHURRIED });
    const tails = await Promise.all([tailOf(run), tailOf(run)]);
    await run.until(/step +\d+\/100000/);
    end(run);
    expect((await run.finished).code).toBe(code);
    const log = logOf(newestRun(folder)).sort();
    for (const { closed, lines } of tails) {
      expect(await closed).toBe(1001);
      expect(lines.sort()).toEqual(log);
    }
  },
);
