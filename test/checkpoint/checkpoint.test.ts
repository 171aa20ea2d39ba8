import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { saveCheckpoint } from '../../src/checkpoint/checkpointer.js';
import { assertFits } from '../../src/checkpoint/fits.js';
import { readManifest, writeManifest } from '../../src/checkpoint/manifest.js';
import { openStored } from '../../src/checkpoint/open-stored.js';
import { writeSafetensors } from '../../src/checkpoint/safetensors.js';
import { TrainerError } from '../../src/errors.js';
import { config, saveOptions, tensorsOf } from './fixture.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'locmoe-checkpoint-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function save(step: number): string {
  return saveCheckpoint(saveOptions(root, step, tensorsOf(0, 1, step)));
}

function messageOf(run: () => unknown): string {
  try {
    run();
    return 'no error';
  } catch (error) {
    return error instanceof TrainerError ? `${error.code} ${error.message}` : `foreign: ${error}`;
  }
}

test('1,000 random damages to any file are all found, and the file is named', () => {
  const folder = save(1);
  const good = join(root, 'good');
  cpSync(folder, good, { recursive: true });
  const files = readdirSync(folder);
  for (let round = 0; round < 1000; round++) {
    const file = files[round % files.length];
    const path = join(folder, file);
    const bytes = readFileSync(path);
    // A stride that shares no factor with the lengths visits bytes all over the file.
    const at = (round * 7919) % bytes.length;
    if (round % 10 === 0) truncateSync(path, at);
    else if (round % 10 === 1) appendFileSync(path, '\0');
    else if (round % 10 === 2) rmSync(path);
    else writeFileSync(path, bytes.with(at, bytes[at] ^ (1 << (round % 8))));
    const message = messageOf(() => openStored(folder).verify());
    expect(message, `round ${round}`).toContain(`BAD_CHECKPOINT ${path}`);
    cpSync(join(good, file), path);
  }
  openStored(folder).verify();
});

test('reading a tensor checks its file first, other files are left alone', () => {
  const folder = save(1);
  const path = join(folder, 'experts-0-of-1.safetensors');
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.with(bytes.length - 1, bytes[bytes.length - 1] ^ 1));
  const checkpoint = openStored(folder);
  expect(checkpoint.read('embedding.token').length).toBe(128);
  expect(messageOf(() => checkpoint.read('layers.1.experts.0.w_in'))).toMatch(
    /^BAD_CHECKPOINT .*experts-0-of-1\.safetensors is damaged: expected SHA-256 [0-9a-f]{64}, its content gives/,
  );
});

test('files of equal size that were swapped are found', () => {
  const [first, second] = [save(1), save(2)].map((folder) => join(folder, 'shared.safetensors'));
  cpSync(first, second);
  const folder = join(root, 'step-000002');
  for (const open of [() => openStored(folder).verify(), () => resolveCheckpoint(folder, () => {})])
    expect(messageOf(open)).toContain(`BAD_CHECKPOINT ${second}`);
});

test('a damaged newest checkpoint is passed over with a warning', () => {
  save(1);
  const path = join(save(2), 'shared.safetensors');
  truncateSync(path, 100);
  const warnings: string[] = [];
  expect(resolveCheckpoint(root, (message) => warnings.push(message)).manifest.step).toBe(1);
  expect(warnings).toEqual([
    expect.stringMatching(
      /shared\.safetensors is damaged: expected \d+ bytes, found 100; trying the checkpoint before/,
    ),
  ]);
  // A folder given by name is used without falling back to another.
  expect(messageOf(() => resolveCheckpoint(join(root, 'step-000002'), () => {}))).toMatch(
    /^BAD_CHECKPOINT .*found 100/,
  );
  rmSync(join(root, 'step-000001', 'manifest.json'));
  expect(messageOf(() => resolveCheckpoint(root, () => {}))).toMatch(
    /none of the 2 checkpoints in .* can be loaded/,
  );
});

test('a newest checkpoint that cannot be read at all is passed over too', () => {
  save(1);
  const path = join(save(2), 'shared.safetensors');
  rmSync(path);
  symlinkSync(path, path);
  const warnings: string[] = [];
  expect(resolveCheckpoint(root, (message) => warnings.push(message)).manifest.step).toBe(1);
  expect(warnings).toEqual([
    expect.stringMatching(/^checkpoint .*step-000002 cannot be read: ELOOP.*; trying the checkpoint before/),
  ]);
});

test('a number that is not finite is refused, with its tensor and file', () => {
  const folder = save(1);
  const file = 'optimizer-experts-0-of-1.safetensors';
  const tensors = [...tensorsOf(0, 1, 1).optimizerExperts];
  tensors[1].data[7] = Number.NEGATIVE_INFINITY;
  const digest = writeSafetensors(join(folder, file), tensors);
  const manifest = readManifest(folder);
  writeManifest(folder, { ...manifest, files: { ...manifest.files, [file]: digest } });
  const checkpoint = openStored(folder);
  checkpoint.verify();
  checkpoint.read(tensors[0].name);
  expect(messageOf(() => checkpoint.read(tensors[1].name))).toBe(
    `BAD_CHECKPOINT ${join(folder, file)}: tensor ${tensors[1].name} holds -Infinity at element 7`,
  );
});

test('no checkpoint at all is a clear error', () => {
  expect(messageOf(() => resolveCheckpoint(root, () => {}))).toMatch(
    /^BAD_INPUT there is no checkpoint in .*give a/,
  );
  const file = join(root, 'file');
  writeFileSync(file, '');
  for (const place of [join(root, 'nowhere'), file])
    expect(messageOf(() => resolveCheckpoint(place, () => {}))).toMatch(/there is no checkpoint in/);
  writeFileSync(join(root, 'run.json'), '{}');
  expect(messageOf(() => resolveCheckpoint(root, () => {}))).toMatch(
    /: no checkpoint was saved yet \(train\.checkpointEvery\): start the run again$/,
  );
});

test('a newer format version is said to be one', () => {
  const folder = save(1);
  const path = join(folder, 'manifest.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...manifest, step: 9 }));
  expect(messageOf(() => openStored(folder))).toMatch(/manifest\.json is damaged: its checksum/);
  for (const text of ['', '7', 'null', '[]', '{"checksum":']) {
    writeFileSync(path, text);
    expect(
      messageOf(() => openStored(folder)),
      text,
    ).toMatch(/^BAD_CHECKPOINT .*manifest\.json/);
  }
});

test('a checkpoint fits the run it was made by, and no other shape', () => {
  const checkpoint = openStored(save(1));
  const sha = checkpoint.manifest.tokenizerSha256;
  assertFits(checkpoint, { ...config, train: { ...config.train, learningRate: 1 } }, 'resume', sha);
  const other = { ...config, model: { ...config.model, dModel: 16 }, moe: { ...config.moe, numExperts: 2 } };
  expect(messageOf(() => assertFits(checkpoint, other, 'resume', sha))).toMatch(
    /^BAD_CONFIG .*does not fit.*: model\.dModel is 8 there and 16 in this run; moe\.numExperts is 4 there and 2 in this run$/,
  );
  const sized = { ...config, moe: { ...config.moe, dFeedForward: 4, sharedExperts: 1 } };
  expect(messageOf(() => assertFits(checkpoint, sized, 'resume', sha))).toMatch(
    /: moe\.dFeedForward is null there and 4 in this run; moe\.sharedExperts is 0 there and 1 in this run$/,
  );
  const same = { ...config, moe: { ...config.moe, dFeedForward: config.model.dFeedForward } };
  assertFits(checkpoint, same, 'resume', sha);
  const meaning = {
    ...config,
    moe: { ...config.moe, router: 'hash' as const, expertGroups: 2 },
    data: { ...config.data, domains: ['code', 'en'] },
  };
  expect(messageOf(() => assertFits(checkpoint, meaning, 'resume', sha))).toMatch(
    /: moe\.expertGroups is 1 there and 2 in this run; moe\.router is locmoe-plus there and hash in this run; data\.domains is \[en\] there and \[code, en\] in this run$/,
  );
  const learned = (router: 'locmoe' | 'hash') => ({
    ...config,
    moe: { ...config.moe, router, learnedGroups: true },
  });
  expect(messageOf(() => assertFits(checkpoint, learned('locmoe'), 'resume', sha))).toMatch(
    /; moe\.learnedGroups is false there and true in this run$/,
  );
  expect(messageOf(() => assertFits(checkpoint, learned('hash'), 'resume', sha))).not.toContain(
    'learnedGroups',
  );
  const wrong = 'f'.repeat(64);
  expect(messageOf(() => assertFits(checkpoint, config, 'resume', wrong))).toContain(
    `tokenizer SHA-256 is ${sha} there and ${wrong} in this run`,
  );
});

test('a configuration with more experts than the checkpoint has is refused before anything is made for them', () => {
  const folder = save(1);
  const manifest = readManifest(folder);
  const moe = { ...manifest.config.moe, numExperts: 1_000_000_000 };
  writeManifest(folder, { ...manifest, config: { ...manifest.config, moe } });
  expect(messageOf(() => openStored(folder))).toMatch(
    /^BAD_CHECKPOINT checkpoint .* has \d+ tensors, too few for the \d{10} experts of its configuration$/,
  );
});
