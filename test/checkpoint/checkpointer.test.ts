import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Checkpoint, resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { claimCheckpoints, committedFolders } from '../../src/checkpoint/folders.js';
import { openStored } from '../../src/checkpoint/open-stored.js';
import { EXIT } from '../../src/errors.js';
import { armFailpoint } from '../../src/failpoint.js';
import { runnable } from '../../src/os/start-thread.js';
import { allNames, config, expectedValue, saveOptions, TOKENIZER, tensorsOf } from './fixture.js';

let run: string;
let root: string;
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'locmoe-checkpoint-'));
  root = join(run, 'checkpoints');
});
afterEach(() => rmSync(run, { recursive: true }));

const noWarning = (message: string) => expect.unreachable(message);

function save(step: number, from = step, generation = 1): string {
  const options = saveOptions(root, step, tensorsOf(0, 1, from));
  return saveCheckpoint({ ...options, generation });
}

/**
 * Generation 1 saves steps 1 and 2, then generation 2 starts, saves `step` and the one after it, with values one hundred higher,
 * and is sent a signal at a failpoint; test/checkpoint/cut-short-save.ts does the same in a process of its own.
 */
function interruptedSave(step: number, failpoint: string, onSignal: (signal: unknown) => void): void {
  for (const each of [1, 2]) save(each);
  armFailpoint(`checkpoint.${failpoint}`);
  const kill = vi.spyOn(process, 'kill').mockImplementationOnce((_, signal) => {
    onSignal(signal);
    return true;
  });
  try {
    claimCheckpoints(root, 2);
    for (const each of [step, step + 1]) save(each, each + 100, 2);
  } finally {
    expect(kill).toHaveBeenCalledOnce();
    kill.mockRestore();
  }
}

/** Interrupts a save, and restores the files as they were at the failpoint, as if the process was killed there. */
function killedSave(step: number, point: string): void {
  const image = join(run, 'image');
  const killed = new Error('killed');
  const save = () =>
    interruptedSave(step, point, (signal) => {
      expect(signal).toBe('SIGKILL');
      cpSync(root, image, { recursive: true });
      throw killed;
    });
  expect(save).toThrow();
  rmSync(root, { recursive: true });
  renameSync(image, root);
}

/**
 * Freezes generation 2 at a failpoint and runs `meanwhile` as generation 3; then generation 2 goes on and finds that it
 * has to end.
 */
function frozenSave(step: number, point: string, meanwhile: () => void): void {
  const save = () =>
    interruptedSave(step, `${point}:stop`, (signal) => {
      expect(signal).toBe('SIGSTOP');
      claimCheckpoints(root, 3);
      meanwhile();
    });
  expect(save).toThrow(
    expect.objectContaining({
      code: 'SUPERSEDED',
      message: expect.stringMatching(
        /this process is of generation 2 of the run, .* took over as generation 3: it ends/,
      ),
    }),
  );
}

function cutShortSave(step: number, failpoint: string): string[] {
  const program = runnable(fileURLToPath(new URL('cut-short-save.ts', import.meta.url)));
  return [program, root, String(step), `checkpoint.${failpoint}`];
}

function expectValuesOf(checkpoint: Checkpoint, step: number): void {
  for (const name of allNames) {
    const data = checkpoint.read(name, [8, 16]);
    expect(data.length).toBe(128);
    expect(
      data.every((value) => value === Math.fround(expectedValue(name, step))),
      name,
    ).toBe(true);
  }
}

test('a checkpoint comes back whole and stands on its own', () => {
  const folder = save(100);
  expect(folder).toBe(join(root, 'step-000100'));
  const checkpoint = resolveCheckpoint(run, noWarning);
  expect(checkpoint.folder).toBe(folder);
  expectValuesOf(checkpoint, 100);
  expect(checkpoint.manifest).toMatchObject({
    runId: 'run-1',
    step: 100,
    config,
    world: { nodes: 1, workersPerNode: 1 },
    tokenizerSha256: createHash('sha256').update(TOKENIZER).digest('hex'),
    data: { nextStep: 100 },
    metrics: { trainLoss: 5.5 },
  });
  expect(Object.keys(checkpoint.manifest.tensors).sort()).toEqual([...allNames].sort());
  expect(readFileSync(checkpoint.tokenizerFile, 'utf8')).toBe(TOKENIZER);
  expect(readFileSync(join(root, 'latest'), 'utf8')).toBe('step-000100\n');
  expect(readdirSync(folder).sort()).toEqual([
    'experts-0-of-1.safetensors',
    'manifest.json',
    'optimizer-experts-0-of-1.safetensors',
    'optimizer-shared.safetensors',
    'shared.safetensors',
    'state.safetensors',
    'tokenizer.json',
  ]);
});

test('what a checkpoint does not hold is refused by name', () => {
  const checkpoint = openStored(save(1));
  expect(checkpoint.has('embedding.token')).toBe(true);
  for (const name of ['nothing', 'toString', '__proto__']) {
    expect(checkpoint.has(name)).toBe(false);
    expect(() => checkpoint.read(name)).toThrow(`has no tensor ${name}`);
  }
  expect(() => checkpoint.read('embedding.token', [16, 8])).toThrow(
    'embedding.token has shape [8,16], expected [16,8]',
  );
});

test('the newest two are kept, and steps after a resume from an earlier one are dropped', () => {
  for (const step of [1, 2, 3]) save(step);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000002', 'step-000003']);
  save(1_000_000);
  save(12, 500);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000003', 'step-000012']);
  expectValuesOf(resolveCheckpoint(root, noWarning), 500);
});

test('saving a step again replaces it', () => {
  save(1);
  save(2);
  save(2, 77);
  expectValuesOf(resolveCheckpoint(root, noWarning), 77);
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000001', 'step-000002']);
});

test('a tensor that is not finite is not saved, and nothing else changes', () => {
  save(1);
  const before = readdirSync(root);
  const tensors = tensorsOf(0, 1, 2);
  tensors.optimizerExperts[3].data[17] = Number.NaN;
  const name = tensors.optimizerExperts[3].name;
  expect(() => saveCheckpoint(saveOptions(root, 2, tensors))).toThrow(
    expect.objectContaining({
      code: 'NOT_FINITE',
      message: expect.stringContaining(`${name} holds NaN at element 17`),
    }),
  );
  expect(readdirSync(root)).toEqual(before);
  expectValuesOf(resolveCheckpoint(root, noWarning), 1);
  save(2);
  expectValuesOf(resolveCheckpoint(root, noWarning), 2);
});

test('a tensor from two shards, a metric that is NaN or a missing tokenizer stop the save', () => {
  const twice = { ...tensorsOf(0, 1, 1), state: tensorsOf(0, 1, 1).shared };
  expect(() => saveCheckpoint(saveOptions(root, 1, twice))).toThrow(/embedding.token was written to/);
  const options = saveOptions(root, 1, tensorsOf(0, 1, 1));
  expect(() => saveCheckpoint({ ...options, metrics: { loss: Number.NaN } })).toThrow(/metrics.loss/);
  expect(() => saveCheckpoint({ ...options, tokenizerFile: join(run, 'none') })).toThrow(
    expect.objectContaining({ code: 'NO_RESOURCE', message: expect.stringContaining('ENOENT') }),
  );
  expect(readdirSync(root)).toEqual([]);
});

test('a root that cannot be made is a clear error', () => {
  writeFileSync(join(run, 'file'), '');
  const options = saveOptions(root, 1, tensorsOf(0, 1, 1));
  expect(() => saveCheckpoint({ ...options, root: join(run, 'file', 'checkpoints') })).toThrow(
    expect.objectContaining({ code: 'NO_RESOURCE', message: expect.stringMatching(/ENOTDIR.*file/) }),
  );
});

/** The point, the step being saved, and the step and the values that are found afterwards. */
const KILLED: readonly (readonly [point: string, step: number, expected: number])[] = [
  ['marked', 3, 2],
  ['tidied', 3, 2],
  ['prepared', 3, 2],
  ['shard', 3, 2],
  ['written', 3, 2],
  ['manifest', 3, 2],
  ['checked', 3, 2],
  ['renamed', 3, 103],
  ['latest-written', 3, 103],
  ['latest', 3, 103],
  ['aside', 3, 103],
  ['discarding', 3, 103],
  ['aside', 2, 2],
  ['renamed', 2, 102],
  ['latest', 2, 102],
  ['discarding', 2, 102],
  ['aside', 1, 2],
  // Step 2 is no longer part of the run once step 1 is saved again.
  ['renamed', 1, 101],
  ['latest', 1, 101],
  ['discarding', 1, 101],
];

function expectGoingOn(expected: number): void {
  expectValuesOf(resolveCheckpoint(run, noWarning), expected);
  // The next generation finds the same checkpoint, saves, and removes what the killed one left.
  claimCheckpoints(root, 3);
  expectValuesOf(resolveCheckpoint(run, noWarning), expected);
  save(4, 4, 3);
  expectValuesOf(resolveCheckpoint(run, noWarning), 4);
  expect(readdirSync(root).filter((name) => !/^(latest|step-\d{6})$/.test(name))).toEqual(['generation-3']);
}

test.each(KILLED)(
  'killed at %s while saving step %i: the newest committed checkpoint loads',
  (point, step, expected) => {
    killedSave(step, point);
    expectGoingOn(expected);
  },
);

test('a process that is killed leaves the same as the copy of its files at that moment', () => {
  const child = spawnSync(process.execPath, cutShortSave(3, 'renamed'), { encoding: 'utf8' });
  expect(child.signal, child.stderr).toBe('SIGKILL');
  expectGoingOn(103);
});

const frozenAt = (step: number, ...points: string[]) => points.map((point) => ({ point, step }));

function saveMeanwhile(steps: readonly number[]): void {
  for (const each of steps) save(each, each + 1000, 3);
}

function expectSavedMeanwhile(steps: readonly number[]): void {
  for (const each of steps.slice(-2)) {
    const checkpoint = openStored(join(root, `step-00000${each}`));
    checkpoint.verify();
    expectValuesOf(checkpoint, each + 1000);
  }
  expect(resolveCheckpoint(run, noWarning).manifest.step).toBe(steps.at(-1));
  expect(readFileSync(join(root, 'latest'), 'utf8')).toBe(`step-00000${steps.at(-1)}\n`);
}

test.each([
  ...frozenAt(3, 'marked', 'allowed', 'tidied', 'prepared', 'shard', 'written', 'manifest', 'checked'),
  ...frozenAt(3, 'renamed', 'latest-written', 'latest-checked', 'listed', 'aside', 'aside-checked'),
  ...frozenAt(2, 'checked', 'aside', 'replaced', 'renamed', 'discarding'),
  ...frozenAt(1, 'checked', 'renamed', 'listed'),
])(
  'frozen at $point while saving step $step: it leaves what a later generation saved meanwhile, and ends',
  ({ point, step }) => {
    const beingWritten = 'step-000099.tmp-3';
    const steps = [step, step + 1, step + 2];
    frozenSave(step, point, () => {
      saveMeanwhile(steps);
      mkdirSync(join(root, beingWritten));
    });
    expectSavedMeanwhile(steps);
    expect(readdirSync(root).filter((name) => /^step.*tmp/.test(name))).toEqual([beingWritten]);
    save(9, 9, 3);
    expect(readdirSync(root).sort()).toEqual([
      'generation-3',
      'latest',
      `step-00000${step + 2}`,
      'step-000009',
    ]);
  },
);

test('a process that was frozen ends with one line, and leaves what was saved meanwhile', async () => {
  const child = spawn(process.execPath, cutShortSave(2, 'replaced:stop'));
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = once(child, 'close');
  const stat = () => readFileSync(`/proc/${child.pid}/stat`, 'latin1');
  await vi.waitUntil(() => /^\d+ \(.*\) T /.test(stat()), { timeout: 60_000, interval: 10 });
  claimCheckpoints(root, 3);
  saveMeanwhile([2, 3]);
  child.kill('SIGCONT');
  expect(await ended, stderr).toEqual([EXIT.failedRun, null]);
  expect(stderr).toMatch(/^SUPERSEDED .*as generation 3: it ends.*\n$/);
  expectSavedMeanwhile([2, 3]);
});

test.each([
  ...frozenAt(3, 'checked', 'latest-checked', 'listed'),
  ...frozenAt(1, 'checked', 'aside', 'aside-checked', 'listed', 'discarding'),
])(
  'frozen at $point while saving step $step: it leaves what a later generation found when it started, and ends',
  ({ point, step }) => {
    const content = () =>
      [...committedFolders(root), join(root, 'latest')].map((path) => [path, statSync(path).ino]);
    let found: unknown;
    frozenSave(step, point, () => {
      found = content();
    });
    expect(content()).toEqual(found);
  },
);

test('a generation is not claimed once a later one was, and its marker does not count', () => {
  claimCheckpoints(root, 3);
  expect(() => claimCheckpoints(root, 2)).toThrow(expect.objectContaining({ code: 'SUPERSEDED' }));
  expect(() => save(1, 1, 2)).toThrow(/generation 2 of the run, .* as generation 3/);
  claimCheckpoints(root, 3);
  claimCheckpoints(root, 4);
  expect(readdirSync(root)).toEqual(['generation-4']);
});

test('a later generation is newer than higher steps of an earlier one', () => {
  for (const step of [7, 8]) save(step);
  save(3, 3, 2);
  save(7, 7, 3);
  // The folders are as a kill right after the commit of step 3 leaves them.
  renameSync(join(root, 'step-000007'), join(root, 'step-000009'));
  expect(committedFolders(root).map((folder) => basename(folder))).toEqual(['step-000009', 'step-000003']);
});

test('a disk that fills up in the middle leaves the earlier checkpoint and no partial one', () => {
  save(1);
  // A limit on file size stands for the full disk: the tokenizer fits, a shard of 128 floats a tensor does not.
  const script = `
    import { saveCheckpoint } from ${JSON.stringify(new URL('../../src/checkpoint/checkpointer.ts', import.meta.url).href)};
    import { saveOptions, tensorsOf } from ${JSON.stringify(new URL('fixture.ts', import.meta.url).href)};
    try { saveCheckpoint(saveOptions(${JSON.stringify(root)}, 2, tensorsOf(0, 1, 2))); }
    catch (error) { console.log(error.code, error.line); }`;
  const shell = `trap '' XFSZ; ulimit -f 1; exec "$0" --conditions=source --import tsx --input-type=module -e "$1"`;
  const child = spawnSync('sh', ['-c', shell, process.execPath, script], { encoding: 'utf8' });
  expect(child.stdout, child.stderr).toMatch(
    /^DISK_FULL step 2, checkpoint write: cannot write .*step-000002.*EFBIG.*free some space/,
  );
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000001']);
  expectValuesOf(resolveCheckpoint(run, noWarning), 1);
});

test('what the disk has no room for is refused before anything is written', () => {
  save(1);
  const tensors = tensorsOf(0, 1, 2);
  const huge = { name: 'huge', shape: [1], data: { byteLength: 2 ** 60 } as Float32Array };
  const options = saveOptions(root, 2, { ...tensors, state: [huge] });
  expect(() => saveCheckpoint(options)).toThrow(
    expect.objectContaining({
      code: 'DISK_FULL',
      message: expect.stringMatching(/^a checkpoint needs 13835058\d+ MB in .*, and \d+ MB are free$/),
    }),
  );
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000001']);
});

test('the name in `latest` is the folder that is found', () => {
  save(5);
  expect(basename(resolveCheckpoint(run, noWarning).folder)).toBe(
    readFileSync(join(root, 'latest'), 'utf8').trim(),
  );
  expect(existsSync(join(root, 'latest.tmp'))).toBe(false);
});
