import type { ComparedNumber, StepLayer, StepReply, ValidationPoint } from '../../api-types.js';
import { fetchStep, problemOf } from '../api.js';
import { button, fill, h, icon, numberCell, row, scrollable, table } from '../dom.js';
import { DASH, formatClock, formatCount, formatLoss, formatShare } from '../format.js';
import { pageState, setState } from '../location.js';
import { openStep } from './open-logs.js';
import type { RunData } from './run-data.js';
import { formatMs } from './units.js';

/** A domain's loss is reported if it grew by more than this share between two validations. */
const WORSE_SHARE = 0.1;
/** A step that could not be fetched is requested again at this interval. */
const AGAIN_MS = 3_000;

interface Named {
  readonly name: string;
  readonly format: (value: number | null) => string;
}

const decimal = (value: number | null) => (value === null ? DASH : String(Number(value.toPrecision(4))));
const ms = (value: number | null) => (value === null ? DASH : formatMs(value));

/** The numbers of a step that are shown first, in this order, those with a title after `dropped`; other numbers follow. */
const NAMES: Readonly<Record<string, Named>> = {
  loss: { name: 'loss', format: formatLoss },
  auxiliaryLoss: { name: 'auxiliary loss', format: decimal },
  gradientNorm: { name: 'gradient norm', format: decimal },
  learningRate: { name: 'learning rate', format: decimal },
  dropped: { name: 'choices dropped', format: formatShare },
  idShare: { name: 'choices as of the id', format: formatShare },
  gateShare: { name: "gate's first chosen", format: formatShare },
  margin: { name: 'margin of scores', format: decimal },
  gateEntropy: { name: 'entropy of the gate', format: decimal },
  routerZ: { name: 'router z', format: decimal },
  loadImbalance: { name: 'load, max/mean', format: decimal },
  loadP10: { name: '– p10/mean', format: decimal },
  loadP50: { name: '– p50/mean', format: decimal },
  loadP90: { name: '– p90/mean', format: decimal },
  timeImbalance: { name: 'time of ranks, max/mean', format: decimal },
  bytesImbalance: { name: 'bytes of ranks, max/mean', format: decimal },
  stepMs: { name: 'step time', format: ms },
  'parts.forward': { name: '– forward', format: ms },
  'parts.backward': { name: '– backward', format: ms },
  'parts.exchange': { name: '– exchange', format: ms },
  'parts.allReduce': { name: '– all-reduce', format: ms },
  'parts.optimizer': { name: '– optimizer', format: ms },
  'parts.waiting': { name: '– waiting', format: ms },
};

function namedOf({ name, title, isShare }: ComparedNumber): Named {
  if (title !== undefined) return { name: title, format: isShare ? formatShare : decimal };
  return (
    NAMES[name] ?? { name: name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`), format: decimal }
  );
}

/** Shows the record of one step compared with the steps before it: the first place to look at for a spike. */
export class StepPanel {
  readonly element = h.section({ class: 'step-panel', tabindex: '-1', hidden: true });
  #shown = '';
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor() {
    this.element.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') setState({ record: null });
    });
  }

  async show(run: RunData): Promise<void> {
    const { runId } = run;
    const { record: step } = pageState();
    this.element.hidden = step === null;
    const wanted = step === null ? '' : `${step} ${runId}`;
    if (wanted === this.#shown || step === null) {
      this.#shown = wanted;
      return;
    }
    if (performance.now() - this.#askedAt < AGAIN_MS && this.element.dataset.of === wanted) return;
    this.#askedAt = performance.now();
    this.element.dataset.of = wanted;
    this.element.setAttribute('aria-label', `Step ${step}`);
    try {
      const reply = await fetchStep(runId, step);
      if (this.element.dataset.of !== wanted) return;
      this.#shown = wanted;
      fill(this.element, headOf(step), linksOf(run, step, reply.generation), ...bodyOf(reply));
    } catch (error) {
      if (this.element.dataset.of !== wanted) return;
      // A live run may record the step later.
      if (run.detail?.isLive === false) this.#shown = wanted;
      const problem = problemOf(error);
      fill(this.element, headOf(step), h.p({ role: 'alert' }, problem), linksOf(run, step, null));
    }
    this.element.focus({ preventScroll: true });
  }
}

function headOf(step: number): HTMLElement {
  const go = (by: number) => setState({ record: Math.max(1, step + by) });
  return h.header(
    h.h2(`Step ${step}`),
    button('‹', () => go(-1), { label: 'the step before' }),
    button('›', () => go(1), { label: 'the step after' }),
    button(icon('clear'), () => setState({ record: null }), { label: 'close (Esc)', class: 'bare' }),
  );
}

function linksOf(run: RunData, step: number, generation: number | null): HTMLElement {
  return h.div(
    { class: 'step-links' },
    button('Log lines, all ranks', () => openStep(run, step)),
    button('Timeline', () => setState({ view: 'timeline', step, generation }, { push: true })),
  );
}

function bodyOf(reply: StepReply): HTMLElement[] {
  const { numbers, layers, validations, isSkipped } = reply;
  const found = findings(reply);
  const titled = numbers.flatMap(({ name, title }) => (title === undefined ? [] : [name]));
  const first = Object.keys(NAMES).flatMap((name) => (name === 'dropped' ? [name, ...titled] : [name]));
  const names = new Set([...first, ...numbers.map(({ name }) => name)]);
  const shown = [...names].flatMap((name) => numbers.filter((each) => each.name === name).map(numberRow));
  return [
    h.p({ class: 'hint' }, aboutText(reply)),
    ...(isSkipped
      ? [h.p({ class: 'is-bad' }, 'Skipped: something was not finite, so the update was not made.')]
      : []),
    ...(found.length > 0 ? [h.ul({ class: 'findings' }, ...found.map((text) => h.li(text)))] : []),
    scrollable('numbers of the step', table(['', 'this step', medianName(reply)], shown)),
    ...(validations.length > 0 ? [validationTable(validations)] : []),
    ...(layers.length > 0 ? [layerTable(layers)] : []),
  ];
}

/** Writes "ended 07:22:52.373 · generation 2 · 2,048 tokens, 1.2M so far". */
function aboutText({ time, generation, tokens, tokensSoFar, answerTokens }: StepReply): string {
  return [
    `ended ${formatClock(time)}`,
    generation !== null && `generation ${generation}`,
    `${formatCount(tokens)} tokens, ${formatCount(tokensSoFar)} so far`,
    answerTokens !== null && `${formatCount(answerTokens)} of answers`,
  ]
    .filter(Boolean)
    .join(' · ');
}

function medianName({ numNeighbours }: StepReply): string {
  return numNeighbours === 0 ? 'no step before' : `median of the ${numNeighbours} before`;
}

/** Writes a sentence for each unusual value; the parts of a value that is already mentioned are left out. */
function findings(reply: StepReply): string[] {
  const { numbers, validations } = reply;
  const out = numbers.filter((each) => each.standsOut && !namedOf(each).name.startsWith('–'));
  const told = out.map((each) => {
    const { value, median } = each;
    const { name, format } = namedOf(each);
    return `${name} ${format(value)}, ${medianName(reply)} ${format(median)}`;
  });
  const [before, after] = validations;
  if (before === undefined || after === undefined) return told;
  const domains = after.domains.flatMap(({ domain, loss }) => {
    const was = before.domains.find((each) => each.domain === domain)?.loss;
    if (was === undefined || loss < was * (1 + WORSE_SHARE)) return [];
    return [
      `domain ${domain}: loss ${formatLoss(loss)} at step ${after.step} instead of ${formatLoss(was)} at step ${before.step}`,
    ];
  });
  return [...told, ...domains];
}

function numberRow(number: ComparedNumber): HTMLElement {
  const { value, median, standsOut } = number;
  const { name, format } = namedOf(number);
  const cells = [format(value), median === null ? '' : format(median)].map(numberCell);
  return row({ class: standsOut ? 'is-odd' : '' }, name, ...cells);
}

function validationTable(validations: readonly ValidationPoint[]): HTMLElement {
  const domains = [...new Set(validations.flatMap((each) => each.domains.map(({ domain }) => domain)))];
  const lossOf = (each: ValidationPoint, domain: string) =>
    each.domains.find((one) => one.domain === domain)?.loss ?? null;
  const columns = ['validation loss', ...validations.map(({ step }) => `step ${step}`)];
  const rows = domains.map((domain) =>
    row({}, domain, ...validations.map((each) => numberCell(formatLoss(lossOf(each, domain))))),
  );
  return scrollable('validation loss', table(columns, rows));
}

function layerTable(layers: readonly StepLayer[]): HTMLElement {
  const most = (of: StepLayer['mostLoaded']) =>
    of === null ? DASH : `${of.ofFairShare.toFixed(2)}x, expert ${of.expert}`;
  const columns = ['layer', 'most asked for', 'most loaded', 'dropped', 'to other nodes'];
  const rows = layers.map(({ layer, mostWanted, mostLoaded, dropped, otherNode }) => {
    const texts = [most(mostWanted), most(mostLoaded), formatShare(dropped), formatShare(otherNode)];
    return row({}, String(layer), ...texts.map(numberCell));
  });
  return scrollable('layer', table(columns, rows));
}
