import type { RunDetail } from '../../api-types.js';
import { fill, h } from '../dom.js';
import { DASH, formatCount, formatDate, formatDurationMs, formatLoss } from '../format.js';
import { timesOf } from '../overview/generation-spans.js';
import type { RunData } from '../overview/run-data.js';
import { settingsOf } from '../vendor/settings.js';
import type { TrainingStart } from './training-start.js';

type Fact = readonly [name: string, value: string | null | undefined];

/** Facts about a run: recipe, layout, model, machine. */
export class RunFacts {
  readonly element = h.section({ class: 'card facts', 'aria-label': 'Run' });

  set(run: RunData, start: TrainingStart | null): void {
    const { detail } = run;
    if (detail === null) return;
    const config = new Settings(detail);
    fillFacts(this.element, 'Run', [
      ['recipe', detail.recipe],
      ['router', detail.router],
      ['layout', detail.layout && `${detail.layout} (nodes x workers)`],
      ['layers', config.text`${'model.numDenseLayers'} dense, ${'model.numSparseLayers'} sparse`],
      ['experts', config.text`${'moe.numExperts'} in each sparse layer, groups: ${'moe.expertGroups'}`],
      ['shared experts', config.unless('0', 'moe.sharedExperts')],
      ['hidden size of an expert', config.unless('null', 'moe.dFeedForward')],
      ['width', config.text`${'model.dModel'}, feed-forward ${'model.dFeedForward'}`],
      ['parameters', start?.parameters == null ? null : formatCount(start.parameters)],
      ['domains', config.get('data.domains')],
      ['seed', config.get('seed')],
      ['precision', config.get('train.precision')],
      ['kernels', start?.kernels],
      ['host', detail.host],
      ['version', detail.version],
      ['started', formatDate(run.startedAt)],
      ['ended', detail.endedAt === null ? null : formatDate(detail.endedAt)],
      [detail.isLive ? 'for' : 'took', durationOf(run)],
      ['folder', detail.directory],
    ]);
  }
}

/** Progress of its training: rates and losses at the last step and validation. */
export class TrainingFacts {
  readonly element = h.section({ class: 'card facts', 'aria-label': 'Training' });

  set(run: RunData): void {
    const { detail } = run;
    if (detail === null) return;
    const config = new Settings(detail);
    const last = (group: 'loss' | 'gradient', column: string) => lastOf(run.allOf(group)[column]);
    const validation = run.metrics?.validations.at(-1);
    const tokens = Number(config.get('train.globalBatch')) * Number(config.get('model.seqLen'));
    fillFacts(this.element, 'Training', [
      ['step', `${detail.step}${detail.steps === null ? '' : ` of ${detail.steps}`}`],
      ['learning rate now', formatNumber(last('loss', 'learningRate'), 3)],
      [
        'learning rate',
        config.text`${'train.learningRate'}, ${'train.schedule'}, warm-up of ${'train.warmupSteps'} steps`,
      ],
      ['batch', config.text`${'train.globalBatch'} sequences of ${'model.seqLen'} tokens`],
      ['tokens so far', Number.isFinite(tokens) ? formatCount(tokens * detail.step) : null],
      ['loss', formatLoss(last('loss', 'loss'))],
      ['auxiliary loss', formatNumber(last('loss', 'auxiliaryLoss'), 4)],
      ['gradient norm', formatNumber(last('gradient', 'gradientNorm'), 4)],
      ['validation', validation && `loss ${formatLoss(validation.loss)} at step ${validation.step}`],
      ['perplexity', perplexityOf(validation?.loss)],
      ...(validation?.domains ?? []).map(({ domain, loss }): Fact => [`– ${domain}`, perplexityOf(loss)]),
    ]);
  }
}

class Settings extends Map<string, string> {
  constructor({ config }: Pick<RunDetail, 'config'>) {
    super(settingsOf(config));
  }

  /** Returns the setting at a path; undefined if it equals `value` or if the run does not have it. */
  unless(value: string, path: string): string | undefined {
    const setting = this.get(path);
    return setting === value ? undefined : setting;
  }

  /** Fills a template string with settings; null if the run has none of them. */
  text(parts: TemplateStringsArray, ...paths: readonly string[]): string | null {
    if (!paths.some((path) => this.has(path))) return null;
    return parts.reduce((text, part, index) => `${text}${this.get(paths[index - 1]!) ?? DASH}${part}`);
  }
}

function durationOf(run: RunData): string {
  const { totalMs, runningMs } = timesOf(run, Date.now());
  const net = totalMs - runningMs >= 1_000 ? `, ${formatDurationMs(runningMs)} without pauses` : '';
  return `${formatDurationMs(totalMs)}${net}`;
}

function fillFacts(element: HTMLElement, title: string, facts: readonly Fact[]): void {
  const known = facts.filter(([, value]) => value != null && value !== '' && value !== DASH);
  fill(element, h.header(h.h2(title)), h.dl(...known.flatMap(([name, value]) => [h.dt(name), h.dd(value)])));
}

function lastOf(values: readonly (number | null)[] = []): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

function formatNumber(value: number | null, digits: number): string {
  return value === null ? DASH : String(Number(value.toPrecision(digits)));
}

function perplexityOf(loss: number | null | undefined): string {
  return loss == null ? DASH : formatCount(Math.exp(loss));
}
