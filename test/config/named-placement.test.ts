import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-placement-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PLACEMENT = {
  version: 1,
  numExperts: 4,
  nodes: 2,
  workersPerNode: 1,
  layers: { 1: [1, 0, 0, 1], 2: [0, 1, 0, 1] },
};

function written(placement: unknown, name = 'placement.json'): string {
  const file = path.join(folder, name);
  writeFileSync(file, typeof placement === 'string' ? placement : JSON.stringify(placement));
  return file;
}

const resolve = (placement: string, sets: readonly string[] = []) =>
  resolveConfig(
    `name: placed
model:
  { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 2, dFeedForward: 16, seqLen: 8, vocabSize: 300 }
moe: { numExperts: 4, router: hash, placement: ${placement} }
train: { steps: 1, globalBatch: 2, learningRate: 0.1 }
data: { domains: [en] }
cluster: { nodes: 2 }
`,
    path.join(folder, 'recipe.yaml'),
    { sets },
  );

describe('moe.placement', () => {
  it('is the content of its file, relative to the configuration, so that nothing else needs the file', () => {
    const file = written(PLACEMENT);
    const config = resolve('placement.json');
    expect(config.moe.placement).toEqual(PLACEMENT);
    rmSync(file);
    expect(resolveConfig(JSON.stringify(config), 'saved').moe.placement).toEqual(PLACEMENT);
    expect(
      resolveConfig(JSON.stringify(config), 'saved', { sets: ['moe.placement=null'] }).moe.placement,
    ).toBe(null);
    expect(() => resolve('placement.json')).toThrow(
      /recipe\.yaml:4:\d+ moe\.placement: ENOENT.*placement\.json/,
    );
  });

  it('given by --set is relative to the working folder', () => {
    const file = path.relative(process.cwd(), written(PLACEMENT, 'other.json'));
    expect(resolve('null', [`moe.placement=${file}`]).moe.placement).toEqual(PLACEMENT);
    expect(() => resolve('null', ['moe.placement=other.json'])).toThrow(
      /^--set moe\.placement=other\.json: moe\.placement: ENOENT/,
    );
  });

  it.each<[change: object, message: string]>([
    [{ layers: { 1: [1, 0, 1], 2: [0, 1, 0, 1] } }, 'layer 1 has 3 places for 4 experts'],
    [
      { layers: { 1: [1, 0, 0, 1], 2: [0, 1, 0, 1, 1] } },
      'layer 2 has 5 places for 4 experts; each expert has one',
    ],
    [
      { layers: { 1: [1, 0, 0, 0], 2: [0, 1, 0, 1] } },
      'layer 1 gives rank 0 3 experts; each of 2 ranks holds 2 of 4',
    ],
    [{ layers: { 1: [1, 0, 0, 2], 2: [0, 1, 0, 1] } }, 'layer 1 names rank 2'],
    [{ layers: { 1: [1, 0, 0, 1] } }, 'leaves out layer 2; the sparse layers are 1, 2'],
    [{ layers: { ...PLACEMENT.layers, 3: [1, 0, 0, 1] } }, 'names layer 3; the sparse layers are 1, 2'],
    [{ numExperts: 8 }, 'is for 8 experts in a layer, and the model has 4 (moe.numExperts)'],
    [
      { workersPerNode: 2 },
      'is for 2 x 2 ranks (nodes x workers), and this run has 2 x 1; make another with locmoe',
    ],
    [{ version: 2 }, 'is no placement of experts (version: Invalid input: expected 1)'],
    [{ layers: { 1: ['0'] } }, 'is no placement of experts'],
  ])('with %j is refused in one line', (change, message) => {
    written({ ...PLACEMENT, ...change });
    const refused = () => resolve('placement.json');
    expect(refused).toThrow(message);
    expect(refused).toThrow(/^[^\n]*moe\.placement: [^\n]*$/);
  });

  it('of more ranks than experts is refused', () => {
    const many = { ...PLACEMENT, nodes: 8, layers: { 1: [0, 1, 2, 3], 2: [0, 1, 2, 3] } };
    written(many);
    expect(() => resolve('placement.json', ['cluster.nodes=8', 'train.globalBatch=8'])).toThrow(
      'needs at least as many experts as ranks: 4 experts, 8 ranks',
    );
  });

  it('of a sub-model is refused', () => {
    written(PLACEMENT);
    expect(() =>
      resolve('placement.json', ['moe.subModel={domain: en, domains: [en, zh]}', 'moe.expertGroups=2']),
    ).toThrow('moe.placement: is for a whole model');
  });

  it('in a file that cannot be one is refused in one line', () => {
    execFileSync('mkfifo', [path.join(folder, 'pipe')]);
    const many = { ...PLACEMENT, layers: { 1: new Array(90_000).fill(0) } };
    for (const [file, message] of [
      [written('{ "version": 1,', 'broken.json'), /^[^\n]*broken\.json: is no JSON/],
      [mkdtempSync(path.join(folder, 'sub-')), /no regular file but a folder/],
      [path.join(folder, 'pipe'), /no regular file but a pipe/],
      [written(' '.repeat(2 ** 20 + 1), 'huge.json'), /has 1048577 bytes; at most 1048576 are read/],
      [written(many, 'large.json'), /180\d{3} characters without spaces; a placement has at most 150000/],
    ] as const)
      expect(() => resolve(file), file).toThrow(message);
  });
});
