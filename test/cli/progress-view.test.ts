import type { GlobalStep } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { skippedStep } from '../../packages/run-format/test/global-step.js';
import { ProgressView } from '../../src/cli/progress-view.js';
import { RestartBudget } from '../../src/run/restart-budget.js';
import type { RunSnapshot } from '../../src/run/run-listener.js';
import { RunTotals } from '../../src/run/run-totals.js';

const step = (number: number): GlobalStep => ({
  step: number,
  loss: 4.5678,
  auxiliaryLoss: 0,
  gradientNorm: 1,
  learningRate: 0.1,
  tokens: 10,
  stepMs: 1,
  partsMs: { forward: 0, backward: 0, exchange: 0, allReduce: 0, optimizer: 0, waiting: 0 },
  layers: [
    {
      layer: 2,
      routed: [4],
      kept: [4],
      overCapacity: [0],
      notChosen: [0],
      sameWorker: 1,
      sameNode: 1,
      otherNode: 2,
      bytes: { sameWorker: 4, sameNode: 4, otherNode: 8 },
      capacity: [0],
      capacityRatio: null,
      gateCosine: null,
    },
  ],
  bytesSameNode: 0,
  bytesOtherNode: 0,
  allToAllMs: 0,
  allToAllWaitMs: 0,
});

const run: RunSnapshot = { ranks: [], steps: 100, tokensPerS: 12345.6, secondsLeft: 75, speeds: [] };

function view(isTTY: boolean, columns = 200, restarts = totals()) {
  const screen = {
    isTTY,
    columns: () => columns,
    text: '',
    write(text: string) {
      this.text += text;
    },
  };
  const clock = { nowMs: 0 };
  return { screen, clock, view: new ProgressView(screen, restarts, () => clock.nowMs) };
}

const totals = () => new RunTotals(1, new RestartBudget({ maxRestarts: 3, restartWindow: 60 }));

const LINE =
  'step   1/100  loss 4.568  left 1m15s  12,346 tokens/s  stayed on worker 25 %, node 25 %, crossed 50 %  0.40 experts/token';

describe('ProgressView', () => {
  it('writes a plain line every two seconds where there is no terminal, and always the last one', () => {
    const { screen, clock, view: plain } = view(false);
    plain.step(step(1), run);
    plain.step(step(2), run);
    clock.nowMs = 2000;
    plain.step(step(3), run);
    expect(screen.text).toBe(`${LINE}\n${LINE.replace('  1/', '  3/')}\n`);
    plain.step(step(100), run);
    expect(screen.text).toContain('step 100/100');
  });

  it('says of a skipped step that it was not finite', () => {
    const { screen, view: plain } = view(false);
    plain.step(skippedStep(7), run);
    expect(screen.text).toBe('step   7/100  skipped: not finite  left 1m15s  12,346 tokens/s\n');
  });

  it('tells of restarts: the generation, how many are left, the time lost in all', () => {
    const restarts = totals();
    const { screen, view: plain } = view(false, 200, restarts);
    restarts.budget.spend();
    restarts.restarts();
    restarts.generation({ generation: 2, resumedFrom: 0, nodes: 1 });
    restarts.recovered({ detectedS: 0.3, restartedS: 4.1, lostSteps: 7, lostS: 2.2 });
    plain.step(step(7), run);
    expect(screen.text).toContain('12,346 tokens/s  gen 2  2 restarts left  lost 7s  stayed on worker');
  });

  it('shows in a terminal that there are no steps for a while', () => {
    const { screen, clock, view: live } = view(true);
    live.step(step(1), run);
    live.print('generation 1 failed');
    live.pause('restarting');
    expect(screen.text).toMatch(/generation 1 failed\n.*restarting$/s);
    clock.nowMs = 100;
    live.step(step(1), run);
    live.close();
    expect(screen.text.endsWith(`\r\x1b[2K${LINE}\n`)).toBe(true);
  });

  it('rewrites one line in a terminal, and prints other lines above it', () => {
    const { screen, clock, view: live } = view(true);
    live.step(step(1), run);
    clock.nowMs = 100;
    live.step(step(2), run);
    live.print('checkpoint');
    live.close();
    const second = LINE.replace('  1/', '  2/');
    expect(screen.text).toBe(`\r\x1b[2K${LINE}\r\x1b[2K${second}\r\x1b[2Kcheckpoint\n\r\x1b[2K${second}\n`);
  });

  it('never wraps in a narrow terminal', () => {
    const { screen, view: live } = view(true, 40);
    live.step(step(1), run);
    expect(screen.text.replace('\r\x1b[2K', '')).toBe('step   1/100  loss 4.568  left 1m15s');
  });

  it('tells how many experts compute a token, whatever was dropped', () => {
    const { screen, view: plain } = view(false);
    const [layer] = step(1).layers;
    const more = { ...layer, routed: [60], overCapacity: [48], kept: [12] };
    plain.step({ ...step(1), layers: [layer, more] }, run);
    expect(screen.text).toContain('crossed 50 %  0.80 experts/token\n');
  });

  it('breaks a line that stays between words in a terminal, and never elsewhere', () => {
    const line = `run micro: ${'2 nodes x 2 workers, '.repeat(6)}starting`;
    const { screen, view: live } = view(true, 80);
    live.print(line);
    live.step(step(1), run);
    live.print(line);
    const shown = screen.text.replaceAll('\r\x1b[2K', '\n').split('\n');
    expect(Math.max(...shown.map(({ length }) => length))).toBeLessThanOrEqual(80);
    expect(shown.filter((each) => each.startsWith('  '))).toHaveLength(2);
    const { screen: file, view: plain } = view(false, 80);
    plain.print(line);
    expect(file.text).toBe(`${line}\n`);
  });

  it('always shows the last step', () => {
    const { screen, view: plain } = view(false);
    plain.step(step(99), run);
    plain.step(step(100), run);
    expect(screen.text).toContain('step 100/100');
  });
});
