import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { RunRecord } from '@locmoe/run-format';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { endLingering, lingerSeconds } from '../../src/cli/linger.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';

const FREE_PORT = '127.0.0.1:0';
const FIXED_PORT = '127.0.0.1:9464';
const FAILED = { kind: 'failed', isSignalled: false } as const;
const FINISHED = { kind: 'finished', isSignalled: false } as const;

const STOPPED = { kind: 'finished', isSignalled: true } as const;

it.each<[why: string, ...args: Parameters<typeof lingerSeconds>, seconds: number]>([
  ['Prometheus may scrape a fixed port', { http: FIXED_PORT }, FAILED, false, false, 120],
  ['Prometheus may scrape a fixed port', { http: FIXED_PORT }, FINISHED, false, false, 120],
  ['nobody scrapes a free port', { http: FREE_PORT }, FAILED, false, false, 0],
  ['somebody has scraped', { http: FREE_PORT }, FAILED, true, false, 120],
  ['somebody waits at a terminal', { http: FIXED_PORT }, FAILED, false, true, 0],
  ['somebody has scraped', { http: FIXED_PORT }, FAILED, true, true, 120],
  ['a signal asked for the end, and the next scrape comes', { http: FIXED_PORT }, STOPPED, true, false, 30],
  ['a signal asked for the end, and nobody scrapes', { http: FIXED_PORT }, STOPPED, false, false, 0],
  ['it is told so', { http: FIXED_PORT, linger: 7 }, STOPPED, true, false, 7],
  ['a signal leaves half a minute at most', { http: FIXED_PORT, linger: true }, STOPPED, true, false, 30],
  ['two signals leave nothing', { http: FIXED_PORT }, { kind: 'failed', isSignalled: true }, true, false, 0],
  ['it is told so', { http: FREE_PORT, linger: 7 }, FINISHED, false, true, 7],
  ['it is told so', { http: FIXED_PORT, linger: 0 }, FAILED, true, false, 0],
  ['it is told so', { http: FREE_PORT, linger: true }, FAILED, false, true, Infinity],
  ['nothing is served', { http: false, linger: 7 }, FAILED, false, false, 0],
  [
    'another process takes over',
    { http: FIXED_PORT, linger: 20, resumeOrStart: true },
    FAILED,
    true,
    false,
    0,
  ],
  ['the run is over', { http: FIXED_PORT, linger: 20, resumeOrStart: true }, FINISHED, true, false, 20],
])(
  'a process serves how its run ended as long as %s: %j',
  (_, options, outcome, wasScraped, isTTY, seconds) => {
    expect(lingerSeconds(options, outcome, wasScraped, isTTY)).toBe(seconds);
  },
);

describe('a process that wants the port', () => {
  const PORT = 9464;
  let runsDir: string;
  let other: ChildProcess & { readonly pid: number };

  beforeEach(async () => {
    runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-linger-'));
    other = spawn('sleep', ['60']) as typeof other;
    await once(other, 'spawn');
    onTestFinished(() => {
      other.kill('SIGKILL');
      rmSync(runsDir, { recursive: true, force: true });
    });
  });

  /** Writes the record of a run whose process is `other`, which lingers at the port. */
  function write(changes: Partial<RunRecord> = {}): void {
    createRunFolder(runsDir, 'tiny').writeRecord({
      runId: 'tiny',
      generation: 1,
      address: '127.0.0.1:1',
      http: FIXED_PORT,
      isSecured: false,
      machine: machineIdentity(),
      pid: other.pid,
      process: processIdentity(other.pid),
      state: 'failed',
      lingers: true,
      startedAt: '2026-01-01T00:00:00.000Z',
      datasetDir: 'data',
      forkedFrom: null,
      initFrom: null,
      ...changes,
    });
  }

  it('ends the one that lingers there', async () => {
    write({ pid: other.pid, http: 'no address' });
    write();
    const exit = once(other, 'exit');
    expect(await endLingering(runsDir, PORT)).toBe(true);
    expect(await exit).toEqual([null, 'SIGTERM']);
  });

  it.each<[string, Partial<RunRecord>]>([
    ['a later one with its id', { process: `${processIdentity(process.pid)}0` }],
    ['one that trains', { lingers: undefined }],
    ['one at another port', { http: '127.0.0.1:19464' }],
    ['one of another machine', { machine: 'elsewhere/pid:[1]' }],
    ['one without an address', { http: undefined }],
    ['all processes', { pid: -1, process: '' }],
    ['its own group', { pid: 0, process: '' }],
  ])('never ends %s', async (_, changes) => {
    write(changes);
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    onTestFinished(() => kill.mockRestore());
    expect(await endLingering(runsDir, PORT)).toBe(false);
    expect(kill).not.toHaveBeenCalled();
  });
});
