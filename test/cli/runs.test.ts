import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { appendRecord, type RunFolder, type RunRecord } from '@locmoe/run-format';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { globalStep } from '../../packages/run-format/test/global-step.js';
import { resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { armFailpoint } from '../../src/failpoint.js';
import { createRunFolder } from '../../src/run/create-run-folder.js';
import { claimRun } from '../../src/run/run-lock.js';
import { config } from '../checkpoint/fixture.js';
import { OVER, saveStep } from '../coordinator/saved-run.js';
import { runCommand } from '../run-command.js';

let runsDir: string;
beforeEach(() => {
  runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-runs-'));
  onTestFinished(() => rmSync(runsDir, { recursive: true }));
});

interface Made {
  readonly record?: Partial<RunRecord>;
  readonly config?: object;
  readonly steps?: readonly number[];
}

let started = Date.parse('2026-01-01T00:00:00Z');

/** Makes a run with a checkpoint after each of the steps; later ones are newer. */
function makeRun(name: string, { record, config: changes, steps = [1, 2, 3] }: Made = {}): RunFolder {
  const folder = createRunFolder(runsDir, 'tiny', name);
  started += 1000;
  const startedAt = new Date(started).toISOString();
  folder.writeRecord({ ...OVER, runId: name, startedAt, ...record });
  folder.writeConfig({ ...config, ...changes });
  for (const step of steps) {
    saveStep(folder, step, 1);
    const { stepMs: _, ...rest } = globalStep(step);
    appendRecord(folder.metrics, { type: 'step', time: step, ...rest, stepMs: 100 });
  }
  const domains = [
    { domain: 'en', loss: 2, tokens: 1 },
    { domain: 'zh', loss: 4, tokens: 1 },
  ];
  appendRecord(folder.metrics, { type: 'validation', time: 9, step: steps.at(-1) ?? 0, domains });
  return folder;
}

async function runs(...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await runCommand('runs', ...args, '--runs-dir', runsDir);
  return stdout + stderr;
}

const namesLeft = () => readdirSync(runsDir).sort();
const checkpointsOf = ({ checkpoints }: RunFolder) =>
  readdirSync(checkpoints).filter((name) => name.startsWith('step-'));

it('lists the runs, newest first, and says what little a damaged one says', async () => {
  makeRun('first');
  const second = makeRun('second', { record: { state: 'finished', stopped: 'SIGINT' } });
  makeRun('third', { record: { state: 'running', machine: 'another' }, steps: [] });
  writeFileSync(second.metrics, '{"type":"step","time":1,"step":-1}\n');
  mkdirSync(path.join(runsDir, 'no-run'));
  const lines = (await runs()).trimEnd().split('\n');
  expect(lines[0]).toMatch(
    /^run +state +recipe +router +layout +step +loss +perplexity +on node +age +size$/,
  );
  expect(lines[1]).toMatch(
    /^third +running +checkpoint-test +\S+ +1 x 1 +0\/10 +3\.000 +20\.1 +- +\d+s +\S+ kB$/,
  );
  expect(lines[2]).toMatch(/^second +stopped .* 0\/10 +- +- +- +\d+s/);
  expect(lines[3]).toMatch(/^first +finished .* 3\/10 +3\.000 +20\.1 +\d+ %/);
  expect(lines).toHaveLength(4);
  expect(JSON.parse(await runs('--json'))[2]).toMatchObject({ runId: 'first', domains: { en: 2, zh: 4 } });
});

it('compares settings by their paths, and the last figures', async () => {
  makeRun('first');
  makeRun('second', { config: { seed: 7, train: { ...config.train, steps: 20 } } }).writeSummary({
    seconds: 61,
  });
  const text = await runs('compare', 'first', path.join(runsDir, 'second'));
  const [settings, figures] = text.split('\nlast figures\n');
  expect(settings.match(/^ {2}\w.*$/gm)).toEqual([
    expect.stringMatching(/^ {2}seed +1 +7$/),
    expect.stringMatching(/^ {2}train\.steps +10 +20$/),
  ]);
  for (const row of ['step +3/10 +3/20', ' {2}zh +4.000 +4.000', 'time +- +1m01s'])
    expect(figures).toMatch(new RegExp(`^ *${row}$`, 'm'));
  expect(await runs('compare', 'first', 'third')).toMatch(/^locmoe: run third: /);
});

it('removes nothing before --yes, and then the old runs alone', async () => {
  const [oldest] = [makeRun('a'), makeRun('b'), makeRun('c')];
  mkdirSync(path.join(runsDir, 'no-run'));
  symlinkSync(oldest.directory, path.join(runsDir, 'link'));
  expect(await runs('prune', '--yes')).toContain('say what to remove');
  expect(await runs('prune', '--older-than', '7d')).toMatch(/^would free 0 bytes/);
  const planned = await runs('prune', '--keep', '1');
  const [, bytes] = /^would free (\S+) bytes/m.exec(planned)!;
  expect(namesLeft()).toEqual(['a', 'b', 'c', 'link', 'no-run']);
  expect(await runs('prune', '--keep', '1', '--yes')).toContain(`freed ${bytes} bytes`);
  expect(namesLeft()).toEqual(['c', 'link', 'no-run']);
});

it('never removes a live run, one whose lock is held, or one that a run that stays needs', async () => {
  makeRun('base');
  makeRun('middle', { record: { forkedFrom: { runId: 'base', step: 2 } } });
  const words = makeRun('words');
  makeRun('unused');
  makeRun('live', { record: { state: 'running', machine: 'another' } });
  const held = makeRun('held');
  const tokenizer = path.join(words.checkpoints, 'step-000001/tokenizer.json');
  makeRun('newest', {
    record: { initFrom: { runId: 'middle', step: 1 } },
    config: { data: { ...config.data, tokenizer } },
  });
  const giveUp = await claimRun(held, () => undefined);
  const text = await runs('prune', '--keep', '1', '--yes');
  giveUp();
  expect(namesLeft()).toEqual(['base', 'held', 'live', 'middle', 'newest', 'words']);
  expect(text).toContain('live stays: it may be running');
  expect(text).toContain('base stays: run middle refers to it');
  expect(text).toContain('words stays: run newest refers to it');
  expect(text).toMatch(/run held is held by process/);
});

it('keeps the last checkpoint that loads, later damaged ones, and those that others began with', async () => {
  const run = makeRun('run', { steps: [1, 2, 3, 4, 5] });
  makeRun('fork', { record: { forkedFrom: { runId: 'run', step: 2 } }, steps: [1] });
  rmSync(path.join(run.checkpoints, 'step-000005/tokenizer.json'));
  expect(await runs('prune', '--checkpoints')).toMatch(/^ {2}2 checkpoints of run: /m);
  expect(checkpointsOf(run)).toHaveLength(5);
  await runs('prune', '--checkpoints', '--yes');
  expect(checkpointsOf(run)).toEqual(['step-000002', 'step-000004', 'step-000005']);
  rmSync(path.join(run.checkpoints, 'step-000005'), { recursive: true });
  expect(resolveCheckpoint(run.directory, () => undefined).manifest.step).toBe(4);
  expect(namesLeft()).toEqual(['fork', 'run']);
});

it('keeps the best checkpoint', async () => {
  const run = makeRun('run', { steps: [1, 2] });
  saveStep(run, 3, 1, { bestStep: 2, bestValidationLoss: 1, validationsSinceBest: 1 });
  await runs('prune', '--checkpoints', '--yes');
  expect(checkpointsOf(run)).toEqual(['step-000002', 'step-000003']);
});

it('does not follow links out of a run', async () => {
  const elsewhere = mkdtempSync(path.join(tmpdir(), 'locmoe-elsewhere-'));
  onTestFinished(() => rmSync(elsewhere, { recursive: true }));
  const run = makeRun('run', { steps: [] });
  symlinkSync(elsewhere, run.checkpoints);
  for (const step of [1, 2]) saveStep(run, step, 1);
  expect(await runs('prune', '--checkpoints', '--yes')).toContain('freed 0 bytes');
  await runs('prune', '--keep', '0', '--yes');
  expect(namesLeft()).toEqual([]);
  expect(readdirSync(elsewhere)).toEqual(expect.arrayContaining(['step-000001', 'step-000002']));
});

it('an interruption leaves only runs that load, and the next call finishes', async () => {
  makeRun('a');
  makeRun('b');
  armFailpoint('run.pruned:throw');
  await runs('prune', '--keep', '1', '--yes');
  expect(namesLeft()).toEqual(['.pruned-a', 'b']);
  expect(JSON.parse(await runs('--json'))).toMatchObject([{ runId: 'b' }]);
  await runs('prune', '--keep', '1', '--yes');
  expect(namesLeft()).toEqual(['b']);

  const run = makeRun('run');
  armFailpoint('checkpoint.discarding:throw');
  await runs('prune', '--checkpoints', '--yes');
  expect(resolveCheckpoint(run.directory, () => undefined).manifest.step).toBe(3);
  await runs('prune', '--checkpoints', '--yes');
  expect(checkpointsOf(run)).toEqual(['step-000003']);
});

it('a new run takes the name that it is given, and never that of another', async () => {
  const at = new Date('2026-01-02T03:04:05Z');
  const ids = [1, 2].map(() => createRunFolder(runsDir, 'tiny', undefined, at).runId);
  expect(ids).toEqual(['tiny-20260102-030405', 'tiny-20260102-030405-1']);
  makeRun('mine');
  const places = ['--runs-dir', runsDir, '--data-dir', path.join(runsDir, 'data')];
  const refusal = async (...args: readonly string[]) =>
    (await runCommand('train', '--config', 'tiny', ...places, ...args)).stderr;
  expect(await refusal('--name', 'mine')).toContain('exists already; give another name');
  expect(await refusal('--name', '../mine')).toContain('expected at most 100 letters');
  expect(() => createRunFolder(runsDir, 'tiny', 'mine')).toThrow('exists already');
  expect(existsSync(path.join(runsDir, 'data'))).toBe(false);
});

it('a name means the run, even beside a folder of that name', async () => {
  const { directory } = makeRun('src');
  expect(existsSync('src')).toBe(true);
  expect((await runCommand('status', '--run', 'src', '--runs-dir', runsDir)).stdout).toContain(directory);
});

it.each(['40', '2099-01-01', 'soon', '7d ago'])('--older-than %s is no time that is past', async (when) => {
  makeRun('old');
  const { code, stderr } = await runCommand(
    'runs',
    'prune',
    '--runs-dir',
    runsDir,
    '--older-than',
    when,
    '--yes',
  );
  expect([code, stderr]).toEqual([2, expect.stringContaining('or an ISO time that is past')]);
  expect(readdirSync(runsDir)).toEqual(['old']);
});
