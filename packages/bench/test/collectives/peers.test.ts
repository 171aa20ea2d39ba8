import { describe, expect, it } from 'vitest';
import {
  bestResults,
  fastestSetting,
  type PeerResult,
  parseResults,
  peerRow,
  programArguments,
} from '../../src/collectives/measure-peers.js';
import { runCommand } from '../../src/collectives/run-command.js';

const { signal } = new AbortController();
const result = (bytes: number, ms: readonly number[], setting: string): PeerResult => ({
  collective: 'all-to-all',
  bytes,
  repetitions: ms.length,
  ms,
  setting,
});

describe('the program of a peer', () => {
  it('is told what to do, and its lines of JSON are read', () => {
    const repetition = { caseMs: 300, least: 7, most: 2000 };
    const args = programArguments({
      repetition,
      workDir: '',
      signal,
      cases: [{ collective: 'all-reduce', bytes: 16_384 }],
    });
    expect(args).toEqual(['300', '7', '2000', 'all-reduce:16384:200']);
    const output = 'a warning\n{"collective":"all-reduce","bytes":16384,"ms":[1,2,3]}\n';
    const [read] = parseResults(output, 'some way');
    expect(peerRow('Gloo', 4, read)).toMatchObject({
      system: 'Gloo',
      layout: '4 ranks',
      bytes: 16_384,
      repetitions: 3,
      setting: 'some way',
      ms: { median: 2 },
    });
  });

  it('is judged by the best way to start it, case by case', () => {
    const all = [
      result(1, [3, 1, 2], 'a'),
      result(2, [5], 'a'),
      result(1, [1, 1, 9], 'b'),
      result(2, [7], 'b'),
    ];
    expect(bestResults(all).map(({ bytes, setting }) => [bytes, setting])).toEqual([
      [1, 'b'],
      [2, 'a'],
    ]);
  });

  it('runs what is large in the way that was fastest before', () => {
    const none = '--bind-to none';
    const yields = `${none} --mca mpi_yield_when_idle 1`;
    expect(fastestSetting([result(1, [2], ''), result(1, [1], none), result(1, [3], yields)])).toBe(none);
    expect(fastestSetting([])).toBe('');
  });
});

describe('a command', () => {
  const run = (script: string, deadlineMs = 20_000, stop = signal) =>
    runCommand('sh', { args: ['-c', script], deadlineMs, signal: stop });

  it('returns what it prints, and where it fails says why', async () => {
    expect(await run('echo good')).toBe('good\n');
    await expect(run('echo bad >&2; exit 3')).rejects.toThrow('sh failed (code 3): bad');
    const missing = runCommand('no-such-command', { args: [], deadlineMs: 1000, signal });
    await expect(missing).rejects.toThrow('ENOENT');
  });

  it('that hangs is ended at its deadline, and when it is stopped', async () => {
    await expect(run('sleep 30', 200)).rejects.toThrow('no end within 0.2 s');
    const stop = new AbortController();
    const stopped = run('sleep 30', 20_000, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(stopped).rejects.toThrow('stopped');
  });
});
