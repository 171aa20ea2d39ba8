import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../../src/config/resolve.js';
import { decodeNeeds, encodeNeeds } from '../../src/routing/needs-file.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-needs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const everyThird = Array.from({ length: 300 }, (_, id) => id % 3 === 0);
const list = encodeNeeds(everyThird);
const NEEDS = { version: 1, vocabSize: 300, share: 0.4, layers: { 1: list, 2: list } };

function resolve(needs: object) {
  const file = path.join(folder, 'needs.json');
  writeFileSync(file, JSON.stringify(needs));
  return resolveConfig(
    `name: needs
model:
  { dModel: 8, numHeads: 2, numDenseLayers: 1, numSparseLayers: 2, dFeedForward: 16, seqLen: 8, vocabSize: 300 }
moe: { numExperts: 4, router: hash, needs: needs.json }
train: { steps: 1, globalBatch: 2, learningRate: 0.1 }
data: { domains: [en] }
`,
    path.join(folder, 'recipe.yaml'),
  );
}

describe('moe.needs', () => {
  it('stands in the configuration with the ids of each layer', () => {
    const { needs } = resolve(NEEDS).moe;
    expect(needs).toEqual(NEEDS);
    expect(decodeNeeds(needs!, 2)).toEqual(everyThird);
  });

  it.each([
    [{ vocabSize: 512 }, 'moe.needs: is for a vocabulary of 512, and the model has 300 (model.vocabSize)'],
    [{ layers: { 1: list } }, 'moe.needs: leaves out layer 2; the sparse layers are 1, 2'],
    [{ layers: { 1: list, 2: list, 3: list } }, 'moe.needs: names layer 3; the sparse layers are 1, 2'],
    [{ layers: { 1: list, 2: 'AAAA' } }, 'moe.needs: has no 38 bytes for the 300 ids of layer 2'],
    [{ layers: { 1: list, 2: 'no base64' } }, 'is no list of token ids that need experts (layers.2: '],
    [{ share: 0 }, 'is no list of token ids that need experts (share: '],
  ])('%j is refused in one line', (change, message) => {
    const refused = () => resolve({ ...NEEDS, ...change });
    expect(refused).toThrow(message);
    expect(refused).toThrow(/^[^\n]*$/);
  });
});
