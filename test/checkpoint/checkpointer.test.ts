import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type Checkpoint,
  openCheckpoint,
  resolveCheckpoint,
  saveCheckpoint,
} from '../../src/checkpoint/index.js';
import { soloTransport } from '../../src/collectives/solo-transport.js';
import { allNames, config, expectedValue, saveOptions, TOKENIZER, tensorsOf } from './fixture.js';

let run: string;
let root: string;
beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'locmoe-checkpoint-'));
  root = join(run, 'checkpoints');
});
afterEach(() => rmSync(run, { recursive: true }));

const noWarning = (message: string) => expect.unreachable(message);

function save(step: number, from = step): string {
  return saveCheckpoint(soloTransport(), saveOptions(root, step, tensorsOf(0, 1, from)));
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
  const checkpoint = openCheckpoint(save(1));
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
  expect(() => saveCheckpoint(soloTransport(), saveOptions(root, 2, tensors))).toThrow(
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
  expect(() => saveCheckpoint(soloTransport(), saveOptions(root, 1, twice))).toThrow(
    /embedding.token was written to/,
  );
  const options = saveOptions(root, 1, tensorsOf(0, 1, 1));
  expect(() => saveCheckpoint(soloTransport(), { ...options, metrics: { loss: Number.NaN } })).toThrow(
    /metrics.loss/,
  );
  expect(() => saveCheckpoint(soloTransport(), { ...options, tokenizerFile: join(run, 'none') })).toThrow(
    expect.objectContaining({ code: 'NO_RESOURCE', message: expect.stringContaining('ENOENT') }),
  );
  expect(readdirSync(root)).toEqual([]);
});

test('a root that cannot be made is a clear error', () => {
  writeFileSync(join(run, 'file'), '');
  const options = saveOptions(root, 1, tensorsOf(0, 1, 1));
  expect(() =>
    saveCheckpoint(soloTransport(), { ...options, root: join(run, 'file', 'checkpoints') }),
  ).toThrow(
    expect.objectContaining({ code: 'NO_RESOURCE', message: expect.stringMatching(/ENOTDIR.*file/) }),
  );
});

test.each([
  // [point, step being saved, step and values found afterwards]
  ['prepared', 3, 2],
  ['shard', 3, 2],
  ['written', 3, 2],
  ['manifest', 3, 2],
  ['renamed', 3, 103],
  ['latest', 3, 103],
  ['discarding', 3, 103],
  ['replaced', 2, 2],
  ['renamed', 2, 102],
  ['latest', 2, 102],
  ['discarding', 2, 102],
  // Step 2 is not part of the run any more once step 1 is saved anew.
  ['discarding', 1, 1],
  ['discarded', 1, 1],
  ['replaced', 1, 1],
  ['renamed', 1, 101],
])('killed at %s while saving step %i: the newest committed checkpoint loads', (point, step, expected) => {
  const program = fileURLToPath(new URL('killed-save.ts', import.meta.url));
  const child = spawnSync(
    process.execPath,
    ['--import', 'tsx', program, root, String(step), `checkpoint.${point}`],
    { encoding: 'utf8' },
  );
  expect(child.signal, child.stderr).toBe('SIGKILL');
  expectValuesOf(resolveCheckpoint(run, noWarning), expected);
  // The next save works, and clears what the killed one left.
  save(4);
  expectValuesOf(resolveCheckpoint(run, noWarning), 4);
  expect(readdirSync(root).filter((name) => !/^(latest|step-\d{6})$/.test(name))).toEqual([]);
});

test('a disk that fills up in the middle leaves the earlier checkpoint and no partial one', () => {
  save(1);
  // A limit on file size stands for the full disk: the tokenizer fits, a shard of 128 floats a tensor does not.
  const script = `
    import { soloTransport } from ${JSON.stringify(new URL('../../src/collectives/solo-transport.ts', import.meta.url).href)};
    import { saveCheckpoint } from ${JSON.stringify(new URL('../../src/checkpoint/index.ts', import.meta.url).href)};
    import { saveOptions, tensorsOf } from ${JSON.stringify(new URL('fixture.ts', import.meta.url).href)};
    try { saveCheckpoint(soloTransport(), saveOptions(${JSON.stringify(root)}, 2, tensorsOf(0, 1, 2))); }
    catch (error) { console.log(error.code, error.line); }`;
  const shell = `trap '' XFSZ; ulimit -f 1; exec "$0" --import tsx --input-type=module -e "$1"`;
  const child = spawnSync('sh', ['-c', shell, process.execPath, script], { encoding: 'utf8' });
  expect(child.stdout, child.stderr).toMatch(
    /^NO_RESOURCE rank 0, checkpoint write: cannot write .*step-000002.*EFBIG.*free some space/,
  );
  expect(readdirSync(root).sort()).toEqual(['latest', 'step-000001']);
  expectValuesOf(resolveCheckpoint(run, noWarning), 1);
});

test('the name in `latest` is the folder that is found', () => {
  save(5);
  expect(basename(resolveCheckpoint(run, noWarning).folder)).toBe(
    readFileSync(join(root, 'latest'), 'utf8').trim(),
  );
  expect(existsSync(join(root, 'latest.tmp'))).toBe(false);
});
