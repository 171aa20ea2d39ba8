import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { type Part, Parts } from '../../kit/parts.js';
import { temporaryFolder } from '../support.js';

let folder: string;
let checkpoint: string;
let said: string[];
beforeEach(() => {
  folder = temporaryFolder();
  checkpoint = path.join(folder, 'checkpoint');
  mkdirSync(checkpoint);
  said = [];
  const log = vi.spyOn(console, 'log').mockImplementation((line) => said.push(line));
  onTestFinished(() => log.mockRestore());
});

const open = (parts: readonly Part[]) => new Parts({ workDir: folder, dataDir: folder }, parts);

/** A training, what is asked of its model, another training from it, and what is asked of that. */
function partsOf(seed: number, steps = 10): [Part, Part, Part, Part] {
  const part = (kind: string, ...usedBy: Part[]): Part => ({
    name: `model-${seed}-${kind}`,
    kind,
    key: { steps },
    usedBy,
  });
  const [after, before] = [part('asked again'), part('asked')];
  const tuned = part('fine-tuned', after);
  return [part('trained', before, tuned), before, tuned, after];
}

const never = () => Promise.reject(new Error('it was kept'));

it('does a part once, also over several calls of the command, and says how long the rest takes', async () => {
  const all = [...partsOf(1), ...partsOf(2)];
  const first = open(all);
  expect(said).toEqual(['8 parts, 0 of them kept from before; how long that takes is known later']);
  for (const part of all.slice(0, 4))
    expect(await first.do(part, async () => ({ value: part.kind }))).toEqual({ value: part.kind });
  expect(said.at(-1)).toBe('[4/8] model-1-asked again: asked again in 0s, about 0s left');
  const second = open([...partsOf(1), ...partsOf(2)]);
  expect(said.at(-1)).toBe('8 parts, 4 of them kept from before; about 0s left');
  expect(await second.do(partsOf(1)[0], never)).toEqual({ value: 'trained' });
  expect(second.meanSeconds('trained')).toBeLessThan(1);
  expect(second.meanSeconds('frozen')).toBeNaN();
});

it('does it again for another key', async () => {
  const [base] = partsOf(1);
  await open([base]).do(base, async () => ({ value: 1 }));
  const [other] = partsOf(1, 11);
  expect(await open([other]).do(other, async () => ({ value: 2 }))).toEqual({ value: 2 });
});

it('keeps nothing of a part that fails', async () => {
  const [base] = partsOf(1);
  await expect(open([base]).do(base, () => Promise.reject(new Error('stopped')))).rejects.toThrow('stopped');
  expect(await open([base]).do(base, async () => ({ value: 2 }))).toEqual({ value: 2 });
});

it('trains again where the checkpoint is gone and still needed', async () => {
  const parts = partsOf(1);
  const [base, before, tuned] = parts;
  const done = open(parts);
  await done.do(base, async () => ({ checkpoint }));
  await done.do(before, async () => ({}));
  rmSync(checkpoint, { recursive: true });
  open(parts);
  expect(said.at(-1)).toContain('1 of them kept');
  await done.do(tuned, async () => ({}));
  expect(await open(parts).do(base, never)).toEqual({ checkpoint });
});

it('finds a result without asking how long it took', async () => {
  const [part] = partsOf(1);
  const parts = open([part]);
  expect(parts.find(part)).toBeNull();
  await parts.do(part, async () => ({ loss: 2 }));
  expect(parts.find(part)).toEqual({ loss: 2 });
  expect(parts.find({ ...part, key: { steps: 11 } })).toBeNull();
});
