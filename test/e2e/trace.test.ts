import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { readRecords } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import type { ChromeTrace, TraceEvent } from '../../src/cli/chrome-trace.js';
import { runCommand } from '../run-command.js';
import { CLI, locmoe, temporaryFolder, trainToTheEnd } from './support.js';

type Slice = Extract<TraceEvent, { ph: 'X' }>;

const STEPS = 12;
/** The sparse layers of the micro model. */
const SPARSE_LAYERS = [1, 2];
/** Least median share of a step that its parts cover; a busy machine may take the core away between two parts. */
const LEAST_SHARE = 0.9;

async function traceOf(folder: string, ...options: string[]): Promise<ChromeTrace> {
  const file = path.join(folder, 'trace.json');
  const { code, stdout, stderr } = await locmoe('trace', folder, '--out', file, ...options);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/trace\.json: [\d,]+ events; open it at/);
  return JSON.parse(readFileSync(file, 'utf8'));
}

const isSlice = (event: TraceEvent): event is Slice => event.ph === 'X';
const sum = (slices: readonly Slice[]) => slices.reduce((total, { dur }) => total + dur, 0);

/** The slices that lie directly in each slice. @throws Error if two overlap and none holds the other */
function childrenOf(slices: readonly Slice[]): Map<Slice, Slice[]> {
  const children = new Map<Slice, Slice[]>();
  const open: Slice[] = [];
  // Trace viewers do not round either.
  const end = ({ ts, dur }: Slice) => ts + dur;
  for (const slice of [...slices].sort((a, b) => a.ts - b.ts || b.dur - a.dur)) {
    while (open.length > 0 && end(open.at(-1)!) <= slice.ts) open.pop();
    const parent = open.at(-1);
    if (parent !== undefined && end(slice) > end(parent))
      throw new Error(`${slice.name} at ${slice.ts} overlaps ${parent.name} at ${parent.ts}`);
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), slice]);
    open.push(slice);
  }
  return children;
}

describe('locmoe trace', () => {
  it('has every rank, every exchange of every layer, and all time of a step', async () => {
    const base = temporaryFolder();
    const sets = [`train.steps=${STEPS}`, 'cluster.overlapDegree=1', 'train.validateEvery=10'];
    const folder = await trainToTheEnd({ folder: base, nodes: 2, workersPerNode: 1, sets });
    const { traceEvents, otherData } = await traceOf(folder, '--steps', '8..10');
    // Both nodes are on this machine.
    expect(otherData['clock of node 1']).toMatch(/within 0\.000 ms$/);
    const threads = traceEvents.flatMap((event) =>
      event.ph === 'M' && event.name === 'thread_name' && !/in flight/.test(String(event.args.name))
        ? [event]
        : [],
    );
    expect(threads.map(({ pid, args }) => [pid, args.name])).toEqual([
      [1, 'rank 0'],
      [2, 'rank 1'],
    ]);
    const slices = traceEvents.filter(isSlice);
    const shares: number[] = [];
    for (const { tid } of threads) {
      const own = slices.filter((slice) => slice.tid === tid);
      const children = childrenOf(own);
      const named = (slice: Slice, name: string) =>
        children.get(slice)!.filter((child) => child.name === name);
      for (const step of [8, 9, 10]) {
        const whole = own.find(({ name }) => name === `step ${step}`)!;
        // The validation after the step is left out.
        const ofStep = own.filter(({ ts }) => whole.ts <= ts && ts <= whole.ts + whole.dur);
        expect(children.get(whole)!.map(({ name }) => name)).toEqual([
          'forward',
          'backward',
          'reduce',
          'optimizer',
        ]);
        shares.push(sum(children.get(whole)!) / whole.dur);
        for (const phase of ['forward', 'backward']) {
          const [slice] = named(whole, phase);
          shares.push(sum(children.get(slice)!) / slice.dur);
          for (const layer of SPARSE_LAYERS)
            for (const part of ['attention', 'gate', 'experts', 'combine'])
              expect(
                children.get(slice)!.filter((each) => each.name === part && each.args.layer === layer),
              ).toHaveLength(1);
        }
        for (const layer of SPARSE_LAYERS)
          for (const purpose of ['dispatch', 'combine', 'combine gradient', 'dispatch gradient'])
            expect(
              ofStep.filter(({ name, args }) => name === `all-to-all ${purpose}` && args.layer === layer),
              `${purpose} of layer ${layer} on thread ${tid} in step ${step}`,
            ).toHaveLength(1);
        expect(ofStep.some(({ name }) => name === 'all-reduce gradient norm')).toBe(true);
      }
      expect(own.filter(({ name }) => name === 'validation').map(({ args }) => args.step)).toEqual([10]);
    }
    expect(shares.every((share) => share <= 1)).toBe(true);
    expect(shares.sort((a, b) => a - b)[shares.length >> 1]).toBeGreaterThan(LEAST_SHARE);
    // All ranks have the same operations with the same sequence numbers.
    const numbers = threads.map(({ tid }) =>
      slices
        .flatMap((slice) => (slice.tid === tid && slice.cat === 'collective' ? [slice.args.sequence] : []))
        .join(),
    );
    expect(new Set(numbers).size).toBe(1);
    // The step lasts as long as reported, which is the time of the slowest rank.
    const reported = readRecords(path.join(folder, 'metrics.ndjson')).flatMap((record) =>
      record.type === 'step' && record.step === 9 ? [record.stepMs] : [],
    );
    const longest = Math.max(...slices.filter(({ name }) => name === 'step 9').map(({ dur }) => dur)) / 1e3;
    expect(longest).toBeGreaterThan(0.95 * reported[0]);
    // It begins after the measurement and ends before it, so that no busy machine makes it longer, but for rounding.
    expect(longest).toBeLessThan(reported[0] + 0.01);
    // Each arrow begins in the operation of the awaited rank, and ends in the wait.
    const at = (tid: number, ts: number) =>
      slices.filter((slice) => slice.tid === tid && slice.ts <= ts && ts <= slice.ts + slice.dur + 0.001);
    const starts = traceEvents.filter((event) => event.ph === 's');
    const ends = new Map(
      traceEvents.flatMap((event) => (event.ph === 'f' ? [[event.id, event] as const] : [])),
    );
    expect(starts.length).toBeGreaterThan(3);
    for (const { id, tid, ts } of starts) {
      const end = ends.get(id)!;
      const wait = at(end.tid, end.ts).find(({ name }) => name === 'wait');
      expect(wait?.args.waitedFor).toBe(tid - 1);
      expect(at(tid, ts).some(({ cat }) => cat === 'collective')).toBe(true);
    }

    await refuses(
      folder,
      ['--steps', '31'],
      /step 31 is not kept: there are steps 0\.\.12 of generation 1/,
      2,
    );
    await refuses(
      folder,
      ['--steps', '9..8'],
      /expected a step such as 100, or a range such as 100\.\.110/,
      2,
    );
    await refuses(folder, ['--generation', '2'], /of generation 2 is not kept/, 2);
    // A shell limit of 16 KiB on file size simulates a full disk.
    const target = path.join(base, 'too-large.json');
    const script = 'ulimit -f 16 && exec "$0" "$@"';
    const words = [process.execPath, CLI, 'trace', folder, '--steps', `1..${STEPS}`, '--out', target];
    expect(spawnSync('bash', ['-c', script, ...words], { encoding: 'utf8' })).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^locmoe: --out \S+: EFBIG/),
    });
    expect(existsSync(target)).toBe(false);
    await refuses(folder, ['--out', base], /--out \S+: EISDIR/, 2);
    await refuses(folder, ['--out', '/dev/full'], /--out \/dev\/full: ENOSPC/, 2);
    rmSync(path.join(folder, 'trace'), { recursive: true });
    await refuses(folder, [], /no traces here/, 2);
  });
});

async function refuses(folder: string, options: string[], message: RegExp, exitCode: number): Promise<void> {
  const { code, stdout, stderr } = await runCommand('trace', folder, ...options);
  expect(stderr).toMatch(message);
  const said = stderr.replace('(add --help for what it takes)', '').trim();
  expect({ code, stdout, lines: said.split('\n').length }).toEqual({
    code: exitCode,
    stdout: '',
    lines: 1,
  });
}
