import { expect, it } from 'vitest';
import { ResidentHistory } from '../../src/agent/resident-history.js';

it('tells how memory grew, with a sample every 5 s', () => {
  let now = 0;
  const history = new ResidentHistory(() => now);
  history.add(100 << 20);
  expect(history.describe()).toBe('100 MiB when last looked at');
  for (now = 500; now <= 26_500; now += 500) history.add((100 + now / 500) << 20);
  expect(history.describe()).toBe(
    '153 MiB when last looked at (150 MiB 2 s before, 140 MiB 7 s before, 130 MiB 12 s before, 120 MiB 17 s before)',
  );
});
