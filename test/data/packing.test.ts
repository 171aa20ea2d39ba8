import { expect, it } from 'vitest';
import { packSamples, positionsOf } from '../../src/data/packing.js';
import { MARK } from '../../src/data/template.js';
import { randomIntegers } from '../model/support.js';

/** Marks of samples with the given numbers of context and answer tokens. */
function marksOf(samples: readonly (readonly [context: number, answer: number])[]): Uint8Array {
  return Uint8Array.from(
    samples.flatMap(([context, answer]) => [
      MARK.begin,
      ...Array<number>(context - 1).fill(MARK.context),
      ...Array<number>(answer).fill(MARK.answer),
    ]),
  );
}

it('packs every sample once, none beyond the end of a sequence, in few sequences', () => {
  const seqLen = 32;
  const lengths = randomIntegers('lengths', 300, 15);
  const marks = marksOf(Array.from(lengths, (length) => [1 + length, 1 + (length % 4)]));
  const { rows, numSamples, numCut, numLeftOut } = packSamples(marks, seqLen);
  expect({ numSamples, numCut, numLeftOut }).toEqual({ numSamples: 300, numCut: 0, numLeftOut: 0 });
  const filled = rows.map((row) => row.reduce((sum, sample) => sum + positionsOf(sample), 0));
  expect(Math.max(...filled)).toBeLessThanOrEqual(seqLen);
  const inOrder = rows.flat().toSorted((a, b) => a.begin - b.begin);
  expect(inOrder.map(({ begin }) => begin)).toEqual([0, ...inOrder.slice(0, -1).map(({ end }) => end)]);
  expect(inOrder.at(-1)!.end).toBe(marks.length);
  const positions = filled.reduce((sum, each) => sum + each, 0);
  expect(positions / (rows.length * seqLen)).toBeGreaterThan(0.97);
  expect(packSamples(marks, seqLen).rows).toEqual(rows);
});

it('puts a sample where it fits best', () => {
  // In any other row the 3 would leave no room for both samples of 2.
  const marks = marksOf([7, 6, 3, 2, 2].map((length) => [length, 1]));
  expect(packSamples(marks, 10).rows.map((row) => row.map(positionsOf))).toEqual([
    [7, 3],
    [6, 2, 2],
  ]);
});

it('keeps the whole of the last answer, after at least one token', () => {
  const [seqLen, context] = [8, 20];
  const fits = packSamples(marksOf([[context, 8]]), seqLen);
  expect(fits).toMatchObject({ numSamples: 1, numCut: 1, numLeftOut: 0 });
  // The row begins at the last token of the question, which predicts the first token of the answer.
  expect(fits.rows).toEqual([[{ begin: context - 1, end: context + 8 }]]);
  expect(packSamples(marksOf([[context, 9]]), seqLen)).toMatchObject({
    rows: [],
    numSamples: 0,
    numLeftOut: 1,
  });
});
