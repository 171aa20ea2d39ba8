import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { type Part, type PartKind, Parts } from '../../src/fine-tuning/parts.js';

let folder: string;
let checkpoint: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'locmoe-parts-'));
  checkpoint = path.join(folder, 'checkpoint');
  mkdirSync(checkpoint);
  const log = vi.spyOn(console, 'log').mockReturnValue();
  onTestFinished(() => {
    log.mockRestore();
    rmSync(folder, { recursive: true });
  });
});

function partsOf(seed: number, steps = 10): Part[] {
  const part = (kind: PartKind, ...usedBy: Part[]): Part => ({
    model: { router: 'switch', seed },
    kind,
    key: { steps },
    usedBy,
  });
  const [after, before] = [part('after'), part('before')];
  const tuned = part('tuned', after);
  return [part('base', before, tuned), before, tuned, after];
}

const never = () => Promise.reject(new Error('it was kept'));

it('does a part once, also over several calls of the command, and says how long the rest takes', async () => {
  const all = [...partsOf(1), ...partsOf(2)];
  const first = new Parts(folder, all);
  expect(first.describe()).toBe(
    '2 models, each trained, asked, fine-tuned, asked again: 8 parts, 0 of them kept from before; how long that takes is known after the first model',
  );
  for (const part of all.slice(0, 4))
    expect(await first.do(part, async () => ({ value: part.kind }))).toEqual({ value: part.kind });
  const later = [...partsOf(1), ...partsOf(2)];
  const second = new Parts(folder, later);
  expect(second.describe()).toMatch(/8 parts, 4 of them kept from before; about 0s left$/);
  expect(await second.do(later[0], never)).toEqual({ value: 'base' });
});

it('does it again for another key', async () => {
  const [base] = partsOf(1);
  await new Parts(folder, [base]).do(base, async () => ({ value: 1 }));
  const [other] = partsOf(1, 11);
  expect(await new Parts(folder, [other]).do(other, async () => ({ value: 2 }))).toEqual({ value: 2 });
});

it('trains again where the checkpoint is gone and still needed', async () => {
  const parts = partsOf(1);
  const [base, before, tuned] = parts;
  const done = new Parts(folder, parts);
  await done.do(base, async () => ({ checkpoint }));
  await done.do(before, async () => ({}));
  rmSync(checkpoint, { recursive: true });
  expect(new Parts(folder, parts).describe()).toContain('1 of them kept');
  await done.do(tuned, async () => ({}));
  expect(await new Parts(folder, parts).do(base, never)).toEqual({ checkpoint });
});
