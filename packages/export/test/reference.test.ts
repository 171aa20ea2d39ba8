import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Parameter } from 'locmoe/internal/architecture/architecture';
import { openInference } from 'locmoe/internal/inference/inference';
import { describe as architectureOf } from 'locmoe/internal/model/describe';
import { allSpecs } from 'locmoe/internal/model/specs';
import { afterAll, expect, it } from 'vitest';
import { reference } from '../../../test/architecture/reference.js';
import { withExpertTables } from '../src/expert-table.js';
import { ownLogits, ownRouting, sequences, TRIED, TRIED_MIXTRAL, trainedCheckpoint } from './trained.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-reference-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it.each([...TRIED, ...TRIED_MIXTRAL])('the description computes what the model computes: %s', (variant) => {
  const checkpoint = trainedCheckpoint(mkdtempSync(path.join(folder, 'model-')), variant);
  const { manifest, read } = withExpertTables(checkpoint);
  const architecture = architectureOf(manifest.config);

  const seen = new Map<string, readonly number[]>();
  const values = new Map<string, Float32Array>();
  const readOnce = ({ name, shape }: Parameter) => {
    const known = values.get(name) ?? read(name, shape);
    seen.set(name, shape);
    values.set(name, known);
    return known;
  };
  const inference = openInference(checkpoint);
  for (const [domain, ids] of sequences(inference).entries()) {
    const { logits, weights } = reference(architecture, readOnce, [...ids], domain);
    const own = ownLogits(inference, ids, domain);
    for (const [s, row] of logits.entries()) expect(greatestDifference(row, own[s]!)).toBeLessThan(1e-4);
    for (const [i, layer] of ownRouting(inference, ids, domain).entries())
      expect(greatestDifference(rowMajor(weights[i]!), layer.weights)).toBeLessThan(1e-4);
  }
  inference.model.dispose();

  // All parameters of the model are described, with their shapes; of experts, those that a token chose.
  for (const { name, shape, placement } of allSpecs(manifest.config))
    if (placement === 'shared' || seen.has(name)) expect([name, seen.get(name)]).toEqual([name, shape]);
});

function rowMajor(rows: readonly Float64Array[]): number[] {
  return rows.flatMap((row) => [...row]);
}

function greatestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a).toHaveLength(b.length);
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));
}
