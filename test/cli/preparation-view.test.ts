import { expect, it } from 'vitest';
import { preparationView } from '../../src/cli/preparation-view.js';

const AT_HALF = { doneBytes: 5e8, totalBytes: 1e9, bytesPerS: 2e7, secondsLeft: 25 };

function viewOn(isTTY: boolean) {
  let written = '';
  let nowMs = 0;
  const screen = { isTTY, columns: () => 80, write: (text: string) => (written += text) };
  const view = preparationView(screen, () => nowMs);
  return { view, written: () => written, wait: (ms: number) => (nowMs += ms) };
}

it('rewrites one line in a terminal, above which others are printed', () => {
  const { view, written, wait } = viewOn(true);
  view.progress(AT_HALF);
  wait(50);
  view.progress({ ...AT_HALF, doneBytes: 6e8 });
  expect(written()).toBe('\r\x1b[2Kdata: 500 of 1000 MB, 20.0 MB/s, 25 s left [############............]');
  view.say('done');
  expect(written().endsWith('\r\x1b[2Kdone\n')).toBe(true);
});

it('writes a line every ten seconds elsewhere', () => {
  const { view, written, wait } = viewOn(false);
  for (let second = 0; second < 25; second++) {
    view.progress({ ...AT_HALF, secondsLeft: 200 - second });
    wait(1000);
  }
  expect(written()).toBe(
    'data: 500 of 1000 MB, 20.0 MB/s, 4 min left\ndata: 500 of 1000 MB, 20.0 MB/s, 3 min left\n',
  );
});
