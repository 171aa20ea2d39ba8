import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ExpertFile } from '../../src/checkpoint/expert-file.js';
import { ExpertSlots } from '../../src/parameters/expert-slots.js';
import type { ParameterSpec } from '../../src/parameters/parameters.js';

const SIZE = 7;
const EXPERT_BYTES = 16 * SIZE;

const specs = [0, 1, 2, 3].flatMap((id): ParameterSpec[] =>
  [
    [3, 'w_in'],
    [4, 'w_out'],
  ].map(([length, name]) => ({
    name: `layers.1.experts.${id}.${name}`,
    shape: [length as number],
    init: { kind: 'constant', value: 0 },
    placement: 'expert',
    decay: true,
  })),
);
const nameOf = (id: number) => `layers.1.experts.${id}`;

function newSlots(count: number, stored = true) {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-expert-slots-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const options = { path: path.join(folder, 'experts.tmp'), numExperts: 4, expertSize: SIZE };
  const storage = stored ? new ExpertFile(options) : null;
  const moved: string[] = [];
  const budgetBytes = stored ? count * EXPERT_BYTES : Number.POSITIVE_INFINITY;
  const slots = new ExpertSlots(specs, { budgetBytes, storage }, (ranges) => moved.push(ranges[0].name));
  onTestFinished(() => slots.dispose());
  return { slots, moved };
}

/** Fills values, moments and gradients of an expert. */
function fill(slots: ExpertSlots, id: number, value: number): void {
  const { values, m, v, gradients } = slots;
  for (const { begin, end } of slots.openToChange(nameOf(id)))
    [values, m, v, gradients].forEach((array, i) => void array.fill(value + i, begin, end));
}

function contentOf(slots: ExpertSlots, id: number): number[] {
  const { values, m, v } = slots;
  const ranges = slots.open(nameOf(id));
  expect(ranges.map(({ begin, end }) => end - begin)).toEqual([3, 4]);
  return [
    ...new Set(
      [values, m, v].flatMap((array) => ranges.flatMap(({ begin, end }) => [...array.subarray(begin, end)])),
    ),
  ];
}

it('keeps more experts than it has slots for, the last used ones in memory', () => {
  const { slots, moved } = newSlots(2);
  for (const id of [0, 1, 2, 3]) fill(slots, id, 10 * (id + 1));
  expect(slots.flat.arrays[0]).toHaveLength(2 * SIZE);
  expect(slots.ranges.map(({ name }) => name)).toEqual(
    [2, 3].flatMap((id) => [`${nameOf(id)}.w_in`, `${nameOf(id)}.w_out`]),
  );
  for (const id of [3, 0, 2, 1])
    expect(contentOf(slots, id)).toEqual([0, 1, 2].map((i) => 10 * (id + 1) + i));
  // 1 and 2 are in memory. Since 2 is read again before 3, 3 takes the slot of 1.
  moved.length = 0;
  contentOf(slots, 2);
  contentOf(slots, 3);
  expect(moved).toEqual([`${nameOf(1)}.w_in`, `${nameOf(3)}.w_in`]);
});

it('writes only what has changed', () => {
  const { slots } = newSlots(1);
  fill(slots, 0, 1);
  for (const id of [1, 2, 3]) contentOf(slots, id);
  expect(slots.statistics.bytesOut).toBe(3 * 4 * SIZE);
  fill(slots, 3, 7);
  slots.flush();
  slots.flush();
  expect(slots.statistics.bytesOut).toBe(2 * 3 * 4 * SIZE);
});

it('keeps experts with tokens in memory until the step ends, with gradients of zero at first', () => {
  const { slots } = newSlots(2);
  for (const id of [0, 1, 2, 3]) fill(slots, id, id + 1);
  slots.beginStep();
  slots.touch([nameOf(0)]);
  const [{ begin }] = slots.open(nameOf(0));
  expect([...slots.gradients.subarray(begin, begin + SIZE)]).toEqual(new Array(SIZE).fill(0));
  slots.gradients.fill(5, begin, begin + SIZE);
  // A second micro-batch adds to the gradients of the first.
  slots.touch([nameOf(0)]);
  for (const id of [1, 2, 3]) contentOf(slots, id);
  expect(slots.open(nameOf(0))[0].begin).toBe(begin);
  expect(slots.gradients[begin]).toBe(5);
  expect([0, 3].map((id) => slots.hasGradient(nameOf(id)))).toEqual([true, false]);
  slots.touch([nameOf(1)]);
  expect(() => slots.touch([nameOf(1), nameOf(2)])).toThrow(
    expect.objectContaining({
      code: 'BAD_CONFIG',
      message:
        "moe.expertStorage.budgetMB has room for 2 (0.1 MB) of this rank's experts, and a step needs at least 3 " +
        '(0.1 MB) at the same time; there are 4 (0.1 MB) in all',
    }),
  );
  slots.endStep();
  for (const id of [2, 3]) contentOf(slots, id);
  expect(slots.hasGradient(nameOf(0))).toBe(false);
  expect(slots.statistics.touched).toBe(2);
});

it('prefetches the experts of a step, and evicts none of them for another', () => {
  const { slots } = newSlots(2);
  for (const id of [0, 1, 2, 3]) fill(slots, id, id + 1);
  contentOf(slots, 0);
  contentOf(slots, 1);
  const before = slots.statistics.reads;
  // 0 is the least recently used one.
  slots.expect([nameOf(3), nameOf(0)], [nameOf(2)]);
  expect(slots.statistics.reads).toBe(before + 1);
  slots.beginStep();
  slots.touch([nameOf(0), nameOf(3)]);
  expect(slots.statistics.reads).toBe(before + 1);
  expect(() => slots.expect([0, 1, 2].map(nameOf), [])).toThrow(/needs at least 3 /);
});

it('without a storage has a slot for each', () => {
  const { slots } = newSlots(4, false);
  for (const id of [0, 1, 2, 3]) fill(slots, id, 10 * id);
  for (const id of [0, 1, 2, 3]) expect(contentOf(slots, id)).toEqual([0, 1, 2].map((i) => 10 * id + i));
  expect(slots.statistics).toMatchObject({ reads: 0, bytesIn: 0, bytesOut: 0 });
});
