import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readSamples } from '../../src/evaluation/samples.js';
import { NIGHTLY } from '../nightly.js';
import { runCommand } from '../run-command.js';
import { CLI, DATA_DIR, Locmoe, locmoe, trainToTheEnd } from './support.js';

let folder: string;
let checkpoint: readonly string[];
let task: string;
/** A file with more questions than are answered before a test ends the command. */
let many: string;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-eval-'));
  const run = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets: ['train.steps=1'] });
  checkpoint = ['--checkpoint', run, '--data-dir', DATA_DIR];
  task = write('own.jsonl', questions(12));
  many = write('many.jsonl', questions(20_000));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function questions(count: number): string {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({
      question: `What is the meaning of number ${i}, which stands in this question and in no other one?`,
      choices: ['It is even.', 'It is odd.', 'It is neither of these two.'].slice(0, 2 + (i % 2)),
      answer: i % 2,
      subject: i < 4 ? 'small' : 'large',
    }),
  ).join('\n');
}

function write(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
}

it('asks the questions of a file, writes every answer, and compares two sets of answers', async () => {
  const [zero, two] = ['zero.jsonl', 'two.jsonl'].map((name) => path.join(folder, name));
  const text = write(
    'text.txt',
    'The meaning of number 7, which stands in this question and in no other one.\n',
  );
  const asked = ['eval', ...checkpoint, '--task', task, '--domain', 'en'];
  const ofZero = [...asked, '--contamination', text, '--json', '--samples'];
  const first = await locmoe(...ofZero, zero);
  expect(first.code, first.stderr).toBe(0);
  // One process gives the same answers as one process per processor.
  const alone = path.join(folder, 'alone.jsonl');
  const onOne = ['taskset', '-c', '0', process.execPath, CLI];
  expect((await new Locmoe([...ofZero, alone], {}, onOne).finished).stdout).toBe(first.stdout);
  expect(readFileSync(alone, 'utf8')).toBe(readFileSync(zero, 'utf8'));
  const report = JSON.parse(first.stdout);
  expect(report).toMatchObject({
    step: 1,
    domain: 'en',
    shots: 0,
    limit: null,
    notForReporting: false,
    n: 12,
    leftOut: {},
    baselines: { majority: { letter: 'A', score: 0.5 } },
    contamination: { gramWords: 13, contaminated: 1, tooShort: 0, clean: { n: 11 } },
  });
  expect(report.baselines.chance).toBeCloseTo((1 / 2 + 1 / 3) / 2);
  expect(Object.keys(report.scorings.continuation.scores)).toEqual([
    'acc',
    'acc_norm',
    'acc_bytes',
    'acc_mutual_info',
  ]);
  const samples = readFileSync(zero, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(samples).toHaveLength(24);
  const right = samples.filter(({ filter, acc }) => filter === 'letter' && acc === 1).length;
  expect(report.scorings.letter.scores.acc).toMatchObject({ n: 12, value: right / 12 });
  expect(samples.filter(({ contaminated }) => contaminated).map(({ doc_id }) => doc_id)).toEqual([7, 7]);

  const dev = write('dev.jsonl', readFileSync(task, 'utf8').split('\n').slice(0, 2).join('\n'));
  const second = await locmoe(...asked, '--samples', two, '--shots', '2', '--dev', dev, '--limit', '8');
  expect(second.code, second.stderr).toBe(0);
  expect(second.stdout).toMatch(/8 questions, 2 shots\nthe first 8 of each file alone .*not for reporting\n/);
  expect(second.stdout).toMatch(/^ {2}letter +\d+\.\d % +\d+\.\d % +8$/m);
  expect(second.stdout).toMatch(/^ {2}small +4 /m);

  const compared = await runCommand('eval', '--compare', zero, two);
  expect(compared.code, compared.stderr).toBe(0);
  expect(compared.stdout).toMatch(
    /^ {2}letter +acc +8 +\d+\.\d % +\d+\.\d % +-?\d+\.\d +-?\d+\.\d \.\. -?\d+\.\d /m,
  );
  expect(compared.stdout).toMatch(/without a partner: 8 of A, 0 of B\n16 pairs had different prompts/);
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

describe('before all are answered', () => {
  const samples = () => path.join(folder, 'unfinished.jsonl');
  async function asking(): Promise<Locmoe> {
    const run = new Locmoe(['eval', ...checkpoint, '--task', many, '--domain', 'en', '--samples', samples()]);
    await vi.waitFor(() => expect(run.pidsOf('scorer')).toHaveLength(availableParallelism()), 20_000);
    return run;
  }
  async function expectEnd(run: Locmoe, code: number, message: RegExp): Promise<void> {
    const finished = await run.finished;
    expect(finished).toMatchObject({ code, stdout: '' });
    expect(finished.stderr.trim().split('\n').at(-1)).toMatch(message);
    await run.expectNothingLeft();
    expect(existsSync(samples())).toBe(false);
  }

  it('ends at Ctrl-C, with its processes', async () => {
    const run = await asking();
    run.interrupt();
    await expectEnd(run, 130, /SIGINT: ended before all questions were answered/);
  });

  it('says which process died', async () => {
    const run = await asking();
    process.kill(run.pidsOf('scorer')[0], 'SIGKILL');
    await expectEnd(
      run,
      3,
      /^locmoe: a process that scores texts ended with SIGKILL \(perhaps for lack of memory\)$/,
    );
  });

  it.runIf(NIGHTLY)('leaves no process behind where it is killed itself', async () => {
    const run = await asking();
    run.child.kill('SIGKILL');
    await run.expectNothingLeft();
    expect((await run.finished).stderr).not.toMatch(/Error/);
  });
});

it('scores the true continuation of held-out text among others, by domain', async () => {
  const samples = path.join(folder, 'cloze.jsonl');
  const asked = ['--cloze', '--sequences', '4', '--seed', '3', '--samples', samples, '--json'];
  const { code, stdout, stderr } = await locmoe('eval', ...checkpoint, ...asked);
  expect(code, stderr).toBe(0);
  const { cloze } = JSON.parse(stdout);
  expect(cloze).toMatchObject({
    choices: 4,
    chance: 0.25,
    continuationTokens: 8,
    seed: 3,
    all: { acc: { n: 8 }, acc_mutual_info: { n: 8 } },
  });
  expect(
    cloze.domains.map(({ domain, acc }: { domain: string; acc: { n: number } }) => [domain, acc.n]),
  ).toEqual([
    ['en', 4],
    ['code', 4],
  ]);
  const right = readSamples(samples).filter(({ metrics }) => metrics.get('acc_mutual_info') === 1).length;
  expect(cloze.all.acc_mutual_info.value).toBeCloseTo(right / 8, 12);
});

it('asks for a domain where there are several', async () => {
  const nameless = await runCommand('eval', ...checkpoint, '--task', task);
  expect(nameless).toMatchObject({ code: 2, stdout: '' });
  expect(nameless.stderr).toMatch(/--domain is missing: the model knows en, code/);
});
