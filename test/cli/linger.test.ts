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

describe('a process serves how its run ended', () => {
  it('to Prometheus, where that asks or may ask', () => {
    const [onTerminal, scraped] = [true, true];
    expect(lingerSeconds({ http: FIXED_PORT }, FAILED, !scraped, !onTerminal)).toBe(120);
    expect(lingerSeconds({ http: FIXED_PORT }, FINISHED, !scraped, !onTerminal)).toBe(120);
    expect(lingerSeconds({ http: FREE_PORT }, FAILED, !scraped, !onTerminal)).toBe(0);
    expect(lingerSeconds({ http: FREE_PORT }, FAILED, scraped, !onTerminal)).toBe(120);
    expect(lingerSeconds({ http: FIXED_PORT }, FAILED, !scraped, onTerminal)).toBe(0);
    expect(lingerSeconds({ http: FIXED_PORT }, FAILED, scraped, onTerminal)).toBe(120);
  });

  it('to the next scrape after a signal, where there were some, but not after two signals', () => {
    const stopped = { ...FINISHED, isSignalled: true };
    expect(lingerSeconds({ http: FIXED_PORT }, stopped, true, false)).toBe(30);
    expect(lingerSeconds({ http: FIXED_PORT, resumeOrStart: true }, stopped, true, false)).toBe(30);
    expect(lingerSeconds({ http: FIXED_PORT }, stopped, false, false)).toBe(0);
    for (const [linger, seconds] of [
      [0, 0],
      [7, 7],
      [60, 30],
      [true, 30],
    ] as const)
      expect(lingerSeconds({ http: FIXED_PORT, linger }, stopped, true, false)).toBe(seconds);
    expect(lingerSeconds({ http: FIXED_PORT }, { ...FAILED, isSignalled: true }, true, false)).toBe(0);
  });

  it('for as long as it is told', () => {
    expect(lingerSeconds({ http: FREE_PORT, linger: 7 }, FINISHED, false, true)).toBe(7);
    expect(lingerSeconds({ http: FIXED_PORT, linger: 0 }, FAILED, true, false)).toBe(0);
    expect(lingerSeconds({ http: FREE_PORT, linger: true }, FAILED, false, true)).toBe(Infinity);
    expect(lingerSeconds({ http: false, linger: 7 }, FAILED, false, false)).toBe(0);
  });

  it('but not where another process takes over: a failed run goes on at once', () => {
    const supervised = { http: FIXED_PORT, linger: 20, resumeOrStart: true };
    expect(lingerSeconds(supervised, FAILED, true, false)).toBe(0);
    expect(lingerSeconds(supervised, FINISHED, true, false)).toBe(20);
  });
});

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

  /** The record of a run whose process is `other`, and lingers at the port. */
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
