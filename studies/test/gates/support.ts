import { fileURLToPath } from 'node:url';
import { figuresOf } from '@locmoe/bench/internal/gate/figures';
import { globalStep } from '@locmoe/test-kit';
import { readDesign } from '../../gates/design.js';
import { cellsOf } from '../../gates/jobs.js';
import type { Run } from '../../gates/runs.js';

export const DESIGN = fileURLToPath(new URL('design', import.meta.url));
export const design = readDesign(DESIGN);
export const cells = cellsOf(design, []);
const STEPS = Array.from({ length: 40 }, (_, i) => globalStep(i + 1, {}));

/** A curve with validations at steps 4 and 8 that ends at `loss`. */
function curveTo(loss: number): Run['curve'] {
  return [loss + 1, loss].map((each, i) => ({ step: 4 * (i + 1), loss: each, domains: { en: each } }));
}

/**
 * The runs of an arm of a question: one for each seed, with a loss on the validation text, in the confirming stage also
 * one on the test text, or with a step time.
 */
export function runsOf(
  question: string,
  arm: string,
  kind: Run['kind'],
  values: readonly number[],
  more: Partial<Run> = {},
): Run[] {
  const cell = cells.find(
    (each) => each.question.id === question && each.arm.id === arm && each.kind === kind,
  )!;
  const figures = figuresOf(STEPS, []);
  return values.map((value, i) => ({
    ...figures,
    arm,
    kind,
    stage: cell.stage,
    settings: cell.settings,
    seed: cell.seeds[i]!,
    curve: kind === 'quality' ? curveTo(value) : [],
    test:
      kind === 'quality' && cell.stage === 'confirming'
        ? { loss: value, domains: { en: value }, tokens: 96 }
        : null,
    stepMs: kind === 'time' ? value : 1,
    machine: 'a machine',
    precision: 'float32',
    commit: 'a commit',
    seconds: 1,
    ...more,
  }));
}
